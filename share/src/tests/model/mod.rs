//! The cores against models of them, on random operations.

mod naive;
mod partition;
mod session;
