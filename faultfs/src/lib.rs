//! faultfs
