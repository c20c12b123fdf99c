//! Random words.

/// Both words of Threefry2x32 with 20 rounds, by the definition of Salmon et al. 2011 (*Parallel random numbers: as easy as 1, 2, 3*),
/// section 3.3, round by round: before round d, where d is a multiple of 4, the words get subkey d/4, and after the last round subkey 5.
pub fn threefry2x32_words(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const MASK: u64 = u32::MAX as u64;
    const TURNS: [u64; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
    let [k0, k1] = key.map(u64::from);
    let keys = [k0, k1, 0x1bd1_1bda ^ k0 ^ k1];
    let subkey = |s: u64| [keys[(s % 3) as usize], keys[((s + 1) % 3) as usize] + s];
    let mut words = counter.map(u64::from);
    for round in 0..20_u64 {
        if round % 4 == 0 {
            let added = subkey(round / 4);
            words = [words[0] + added[0], words[1] + added[1]];
        }
        let [x0, x1] = words.map(|word| word & MASK);
        let sum = (x0 + x1) & MASK;
        // Turned by a product: what leaves at the top comes in at the bottom.
        let turned = x1 << TURNS[(round % 8) as usize];
        words = [sum, ((turned & MASK) | (turned >> 32)) ^ sum];
    }
    let last = subkey(5);
    [(words[0] + last[0]) & MASK, (words[1] + last[1]) & MASK].map(|word| word as u32)
}

/// The first words for the counters (site, 0), (site, 1), … of that key.
pub fn threefry2x32(key: [u32; 2], site: u32, count: usize) -> Vec<u32> {
    (0..count as u32).map(|element| threefry2x32_words(key, [site, element])[0]).collect()
}
