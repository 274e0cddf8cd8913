//! The coordinator against models of it, on random requests, with time going by and the log read again at
//! random moments.

mod groups;
mod naive;
mod offsets;
