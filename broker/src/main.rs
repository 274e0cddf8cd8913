//! The ottla broker.
fn main() {}
