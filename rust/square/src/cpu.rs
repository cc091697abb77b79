//! Which kernels are used: those for this processor, or the portable ones, where `DOUGONG_PORTABLE` is set in the environment, so
//! that whatever is tested or timed can be on both.

use std::sync::LazyLock;

pub fn portable() -> bool {
    static WANTED: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("DOUGONG_PORTABLE").is_some());
    *WANTED
}
