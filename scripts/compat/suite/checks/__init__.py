"""The checks, a module per subject. Each module's `checks(quick)` gives pairs of name and function of a Kit."""

from suite.checks import configs, groups, matrix, offsets, real, records, share, topics, transactions

MODULES = (topics, configs, offsets, records, groups, share, transactions, matrix, real)


def all_checks(quick: bool):
    return [pair for module in MODULES for pair in module.checks(quick)]
