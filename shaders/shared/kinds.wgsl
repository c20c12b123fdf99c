// What a score is, and what a row of scores has seen: told by bits and by masks, and kept in integers. No float says it: WGSL
// lets an implementation assume that there are no infinities and NaNs, and every finite number is a score like another. A
// mask's −3.4028235e38 may be all that a row has.
const NAN_BITS: u32 = 0x7fc00000u;
const INFINITY_BITS: u32 = 0x7f800000u;
const NEGATIVE_INFINITY_BITS: u32 = 0xff800000u;

// f32's lowest number: where a maximum begins, and what stands in one for a score that is no number.
const LOWEST: f32 = -3.40282346e38;

// A row has seen the largest of its scores' kinds. A masked key is nothing; −∞ alone, and POISON among them (a NaN or +∞), make
// the row NaN.
const NOTHING: u32 = 0u;
const INFINITIES: u32 = 1u;
const NUMBERS: u32 = 2u;
const POISON: u32 = 3u;

fn kind_of(score: f32) -> u32 {
    let bits = bitcast<u32>(score);
    let strange = select(POISON, INFINITIES, bits == NEGATIVE_INFINITY_BITS);
    return select(NUMBERS, strange, (bits & INFINITY_BITS) == INFINITY_BITS);
}

// The score where it is a number.
fn number_or_lowest(score: f32, kind: u32) -> f32 {
    return select(LOWEST, score, kind == NUMBERS);
}

// Whether a row is NaN that has seen so much.
fn makes_nan(seen: u32) -> bool {
    return seen == INFINITIES || seen == POISON;
}
