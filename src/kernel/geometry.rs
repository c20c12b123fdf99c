//! Dispatch geometry.

/// Folds a number of workgroups into two dimensions where it passes the limit of one (65,535 by WebGPU's default).
/// The shader undoes it by `workgroup_index(id, count)`, which `#import indexing` brings, and leaves the surplus idle.
pub fn fold(workgroups: u64, per_dimension: u32) -> [u32; 3] {
    let limit = u64::from(per_dimension.max(1));
    if workgroups <= limit {
        return [workgroups as u32, 1, 1];
    }
    let y = workgroups.div_ceil(limit);
    // As square as needed: few idle workgroups at the end.
    [workgroups.div_ceil(y) as u32, y.min(u64::from(u32::MAX)) as u32, 1]
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn a_fold_covers_and_fits() {
        for workgroups in [0, 1, 65_535, 65_536, 65_537, 1_000_003, 65_535 * 65_535] {
            let [x, y, z] = fold(workgroups, 65_535);
            assert!(x <= 65_535 && y <= 65_535 && z == 1, "{workgroups}: {x} {y}");
            let covered = u64::from(x) * u64::from(y);
            assert!(
                covered >= workgroups && covered < workgroups + u64::from(y).max(1),
                "{workgroups}: {covered}"
            );
        }
    }
}
