//! Blocks of old, which may lack filters that are written today.

use super::{Random, check, fixtures, tenant};

#[test]
fn blocks_of_every_version_give_what_scans_say() {
    fixtures::each_version(|_, driver| {
        let mut random = Random(7);
        for name in ["anna", "berta"] {
            check(&driver, &tenant(name), &mut random);
        }
    });
}
