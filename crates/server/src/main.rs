//! The program `suyuan`.

fn main() {}
