//! Loops of the twins with the widest vectors that this machine has.

/// Runs `work` compiled for AVX2 where the processor has it, for the target's baseline elsewhere. It gives the same bits: Rust
/// contracts no products and sums, so only as many values as fit are computed at a time.
#[inline(always)]
pub(crate) fn wide<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn avx2<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        // SAFETY: the processor has it.
        return unsafe { avx2(work) };
    }
    work()
}
