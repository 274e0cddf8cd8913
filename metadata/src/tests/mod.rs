//! Tests of the metadata.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod configs;
mod controller;
mod image;
mod model;
mod records;

use uuid::Uuid;

use super::testing::*;
use super::*;
