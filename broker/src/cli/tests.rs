//! The command line as a whole: what parses, what conflicts, and exit codes.

use clap::CommandFactory;

use super::*;

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

fn refused(line: &str) -> String {
    parsed(line).unwrap_err().to_string()
}

fn code(exit: ExitCode) -> String {
    format!("{exit:?}")
}

/// Stands for a node: its exit code says what it was given.
fn node(config: NodeConfig) -> ExitCode {
    ExitCode::from(u8::try_from(config.node_id).unwrap())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_command_a_node_is_started() {
    assert!(parsed("ottla").unwrap().command.is_none());
    assert_eq!(
        code(run(["ottla", "--node-id", "42"], node)),
        code(ExitCode::from(42))
    );
    assert_eq!(
        code(run(["ottla", "serve", "--node-id", "43"], node)),
        code(ExitCode::from(43))
    );
    let sets = ["ottla", "--set", "node.id=44"];
    assert_eq!(code(run(sets, node)), code(ExitCode::from(44)));
}

#[test]
fn wrong_settings_and_arguments_exit_with_usage() {
    let usage = code(ExitCode::from(exit::USAGE));
    assert_eq!(code(run(["ottla", "--memory", "1X"], node)), usage);
    assert_eq!(code(run(["ottla", "--nonsense"], node)), usage);
    assert_eq!(
        code(run(["ottla", "--set", "num.partitons=1"], node)),
        usage
    );
    assert_eq!(code(run(["ottla", "topic"], node)), usage);
    assert_eq!(
        code(run(["ottla", "--version"], node)),
        code(ExitCode::from(exit::OK))
    );
    let missing = ["ottla", "--config", "/no/such/ottla.toml"];
    assert_eq!(code(run(missing, node)), usage);
}

#[test]
fn no_broker_is_told_with_its_own_code() {
    let nowhere = [
        "ottla",
        "cluster",
        "--brokers",
        "127.0.0.1:1",
        "--timeout",
        "1",
    ];
    assert_eq!(
        code(run(nowhere, node)),
        code(ExitCode::from(exit::UNREACHABLE))
    );
    let nonsense = ["ottla", "cluster", "--brokers", "http://x"];
    assert_eq!(code(run(nonsense, node)), code(ExitCode::from(exit::USAGE)));
}

#[test]
fn commands_take_their_arguments() {
    for line in [
        "ottla --listen 0.0.0.0:1 --data-dir a --data-dir b --shards 2 --memory 30% --set a.b=c",
        "ottla topic create a b -p 3 -r 1 -s retention.ms=1 --if-not-exists --dry-run --json",
        "ottla topic list --internal --json -b h:1,h:2",
        "ottla topic describe a b --all",
        "ottla topic alter a --set x=1 --unset y --append z=1 --subtract w=2 --partitions 4",
        "ottla topic delete a b --if-exists -y",
        "ottla produce t -f file -p 0 -K \\t -H | --header a=b --null NULL --acks 1 -z lz4 --batch-size 1M",
        "ottla produce t --acks -1 --linger 0 --rate 5 --max-line 2M --no-idempotence -q",
        "ottla produce t --acks all --compression zstd",
        "ottla consume t -p 0 -p 1 --from -10 -n 5 -e --format %v --null x",
        "ottla consume t --from end --json --committed --quiet",
        "ottla consume t --keys --headers --timestamps --offsets --separator |",
        "ottla cluster --json",
        "ottla log dump a.log b.index --records --from 5 --count 1 --quiet",
        "ottla check --data-dir a --json",
    ] {
        assert!(parsed(line).is_ok(), "{line}: {}", refused(line));
    }
}

#[test]
fn nonsense_is_refused_with_what_was_expected() {
    for (line, expected) in [
        ("ottla topic create", "<TOPIC>"),
        (
            "ottla topic create t -s retention.ms",
            "expected name=value",
        ),
        ("ottla topic create t -p 0", "0 is not in"),
        ("ottla produce t -K \\q", "after \\ comes one of"),
        ("ottla produce t --acks 2", "possible values"),
        ("ottla produce t --batch-size 0", "expected a size"),
        ("ottla consume t --from middle", "expected beginning, end"),
        ("ottla consume t --format %v --keys", "cannot be used with"),
        ("ottla consume t --format %q", "after % comes one of"),
        ("ottla --memory 1G topic list", "cannot be used with"),
        ("ottla topc list", "similar"),
        ("ottla cluster --timeout 0", "0 is not in"),
    ] {
        let message = refused(line);
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn every_command_has_help_with_examples_where_it_takes_work() {
    let command = Cli::command();
    assert!(command.get_after_help().is_some());
    for name in ["produce", "consume", "check"] {
        let sub = command.find_subcommand(name).unwrap();
        assert!(
            sub.get_after_help()
                .unwrap()
                .to_string()
                .contains("Examples:"),
            "{name}"
        );
    }
    fn described(command: &clap::Command) {
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{} {}",
                command.get_name(),
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(described);
    }
    described(&command);
}

#[test]
fn exit_codes_are_distinct() {
    let mut codes: Vec<u8> = exit::ALL.iter().map(|(code, _)| *code).collect();
    codes.dedup();
    assert_eq!(codes.len(), exit::ALL.len());
}

#[test]
fn a_corrupt_segment_has_its_own_exit_code() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("00000000000000000000.log");
    let dump = |path: &std::path::Path| {
        let path = path.to_str().unwrap();
        code(run(["ottla", "log", "dump", "--quiet", path], node))
    };
    std::fs::write(&path, [0; 64]).unwrap();
    assert_eq!(dump(&path), code(ExitCode::from(exit::OK)));
    std::fs::write(&path, [1; 64]).unwrap();
    assert_eq!(dump(&path), code(ExitCode::from(exit::CORRUPT)));
    assert_eq!(
        dump(&folder.path().join("none.log")),
        code(ExitCode::from(exit::FAILED))
    );
    assert_eq!(
        dump(&folder.path().join("a.txt")),
        code(ExitCode::from(exit::USAGE))
    );
}
