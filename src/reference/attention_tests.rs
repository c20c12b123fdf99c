use super::super::testing::{Random, assert_near};
use super::*;

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

/// One batch entry and one head; the queries and keys as given.
fn single(queries: usize, keys: usize) -> Dims {
    Dims { batch: 1, heads: 1, heads_kv: 1, queries, keys, head_dim: 2, value_dim: 1 }
}

fn plain() -> Options<'static> {
    Options { scale: 1.0, ..Options::for_head_dim(1) }
}

/// Contiguous views of q, k and v.
fn views<'a>(q: &'a [f32], k: &'a [f32], v: &'a [f32], d: Dims) -> (View<'a>, View<'a>, View<'a>) {
    (
        View::new(q, Strided::heads_first(d.heads, d.queries, d.head_dim)),
        View::new(k, Strided::heads_first(d.heads_kv, d.keys, d.head_dim)),
        View::new(v, Strided::heads_first(d.heads_kv, d.keys, d.value_dim)),
    )
}

const GROUPED: Dims =
    Dims { batch: 2, heads: 6, heads_kv: 2, queries: 5, keys: 7, head_dim: 4, value_dim: 3 };

fn random_qkv(d: Dims, seed: u64) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut random = Random(seed);
    (
        random.values(d.batch * d.heads * d.queries * d.head_dim),
        random.values(d.batch * d.heads_kv * d.keys * d.head_dim),
        random.values(d.batch * d.heads_kv * d.keys * d.value_dim),
    )
}

#[test]
fn scores_by_hand() {
    let (q, k) = ([1.0, 2.0, -1.0, 0.5], [3.0, 4.0, 0.0, -2.0, 1.0, 1.0]);
    let (q, k, _) = views(&q, &k, &[], single(2, 3));
    assert_eq!(scores(q, k, single(2, 3)), [11.0, -4.0, 3.0, -1.0, -1.0, -0.5]);
}

#[test]
fn attention_by_hand() {
    // Scores ln 1, ln 2, ln 5 at scale 1: weights 1/8, 2/8, 5/8.
    let scores = [0.0, 2f64.ln(), 5f64.ln()];
    let weights = scale_mask_softmax(&scores, single(1, 3), plain());
    assert_near(&weights, &[0.125, 0.25, 0.625], 1e-15);
    let v = View::new(&[8.0, 4.0, 1.6], Strided::heads_first(1, 3, 1));
    assert_near(&weighted_values(&weights, v, None, single(1, 3)), &[3.0], 1e-6);
    // Twice the logarithms at scale ½ are the same.
    let doubled = scores.map(|s| 2.0 * s);
    let halved = Options { scale: 0.5, ..plain() };
    assert_near(&scale_mask_softmax(&doubled, single(1, 3), halved), &weights, 1e-15);
    assert_eq!(Options::for_head_dim(64).scale, 0.125);
}

#[test]
fn rows_sum_to_1_and_a_shift_does_not_matter() {
    let scores: Vec<f64> = Random(1).values(420).iter().map(|&s| 20.0 * f64::from(s)).collect();
    let weights = scale_mask_softmax(&scores, GROUPED, plain());
    for row in weights.chunks(7) {
        assert_near(&[row.iter().sum::<f64>()], &[1.0], 1e-14);
        assert!(row.iter().all(|w| *w >= 0.0));
    }
    // ±1e4 too: neither overflow nor underflow of the sum.
    for shift in [1.0, 1e4, -1e4] {
        let shifted: Vec<f64> = scores.iter().map(|s| s + shift).collect();
        assert_near(&scale_mask_softmax(&shifted, GROUPED, plain()), &weights, 1e-11);
    }
}

#[test]
fn equal_keys_share_equally() {
    let d = single(2, 4);
    let (q, k, v) = ([1.0, 2.0, 3.0, -1.0], [0.5; 8], [1.0, 2.0, 3.0, 6.0]);
    let (q, k, v) = views(&q, &k, &v, d);
    assert_near(&attention(q, k, v, d, plain()), &[3.0, 3.0], 1e-15);
}

#[test]
fn causal_alignments() {
    let rows = |queries, keys, causal| -> Vec<Vec<usize>> {
        let allowed = allowed(single(queries, keys), Options { causal, ..plain() });
        allowed.chunks(keys).map(|row| (0..keys).filter(|&j| row[j]).collect()).collect()
    };
    assert_eq!(rows(2, 4, Causal::None), [[0, 1, 2, 3], [0, 1, 2, 3]]);
    assert_eq!(rows(2, 4, Causal::TopLeft), [vec![0], vec![0, 1]]);
    assert_eq!(rows(2, 4, Causal::BottomRight), [vec![0, 1, 2], vec![0, 1, 2, 3]]);
    assert_eq!(rows(2, 4, Causal::Offset(1)), [vec![0, 1], vec![0, 1, 2]]);
    assert_eq!(rows(2, 4, Causal::Offset(-1)), [vec![], vec![0]]);
    // More queries than keys: bottom-right leaves the first ones without any.
    assert_eq!(rows(4, 2, Causal::TopLeft), [vec![0], vec![0, 1], vec![0, 1], vec![0, 1]]);
    assert_eq!(rows(4, 2, Causal::BottomRight), [vec![], vec![], vec![0], vec![0, 1]]);
    // Square: the two are one.
    assert_eq!(rows(3, 3, Causal::TopLeft), rows(3, 3, Causal::BottomRight));
    let options = Options { causal: Causal::BottomRight, ..plain() };
    assert_eq!(scale_mask_softmax(&[1.0; 8], single(4, 2), options)[..5], [0.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn key_lengths_are_per_batch_entry() {
    let d = Dims { batch: 4, heads: 1, heads_kv: 1, queries: 1, keys: 3, head_dim: 1, value_dim: 1 };
    let options = Options { key_lengths: Some(&[0, 1, 2, 9]), ..plain() };
    let expected = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];
    assert_near(&scale_mask_softmax(&[5.0; 12], d, options), &expected, 1e-15);
}

#[test]
fn masks_broadcast_by_strides() {
    let d = Dims { batch: 2, heads: 2, heads_kv: 2, queries: 2, keys: 2, head_dim: 1, value_dim: 1 };
    let allowed_by =
        |data: &[u32], strides| allowed(d, Options { mask: Mask::Bool { data, strides }, ..plain() });
    for (strides, index) in [
        ([0, 0, 0, 1], (|_, _, _, j| j) as fn(usize, usize, usize, usize) -> usize),
        ([0, 0, 1, 0], |_, _, i, _| i),
        ([0, 1, 0, 0], |_, h, _, _| h),
        ([1, 0, 0, 0], |b, _, _, _| b),
        ([0, 0, 2, 1], |_, _, i, j| 2 * i + j),
        ([8, 4, 2, 1], |b, h, i, j| 8 * b + 4 * h + 2 * i + j),
    ] {
        // Any value but 0 takes part.
        let data: Vec<u32> = (0..16).map(|n| [0, 7, u32::MAX, 0, 1][n % 5]).collect();
        let expected: Vec<bool> =
            (0..16).map(|n| data[index(n / 8, n / 4 % 2, n / 2 % 2, n % 2)] != 0).collect();
        assert_eq!(allowed_by(&data, strides), expected, "{strides:?}");
    }
}

#[test]
fn a_float_mask_is_added_after_scaling_and_minus_infinity_masks_out() {
    let data = [0.0, 3.0, -INF, NAN];
    let options = Options { scale: 0.5, mask: Mask::Float { data: &data, strides: [0, 0, 0, 1] }, ..plain() };
    // ½·10 + 0 = ½·4 + 3; the third key is out, with a NaN in its score.
    let scores = [10.0, 4.0, f64::NAN];
    assert_near(&scale_mask_softmax(&scores, single(1, 3), options), &[0.5, 0.5, 0.0], 1e-15);
    // A NaN in the mask reaches the row, unless something else rules its key out.
    let scores = [0.0; 4];
    assert!(scale_mask_softmax(&scores, single(1, 4), options).iter().all(|w| w.is_nan()));
    let shorter = Options { key_lengths: Some(&[2]), ..options };
    assert!(scale_mask_softmax(&scores, single(1, 4), shorter)[3] == 0.0);
}

#[test]
fn what_is_masked_never_contributes() {
    let (q, mut k, mut v) = random_qkv(GROUPED, 7);
    let data: Vec<u32> = (0..35).map(|n| u32::from(n % 3 != 0)).collect();
    let options = Options {
        key_lengths: Some(&[6, 6]),
        mask: Mask::Bool { data: &data, strides: [0, 0, 0, 1] },
        ..Options::for_head_dim(4)
    };
    let run = |k: &[f32], v: &[f32]| {
        let (q, k, v) = views(&q, k, v, GROUPED);
        attention(q, k, v, GROUPED, options)
    };
    let clean = run(&k, &v);
    assert!(clean.iter().all(|y| y.is_finite()));
    // Keys 0, 3 and 6 are out for every query.
    for poison in [NAN, INF, -INF] {
        for key in [0, 3, 6] {
            for head in 0..4 {
                k[(head * 7 + key) * 4] = poison;
                v[(head * 7 + key) * 3 + 1] = poison;
            }
        }
        assert_eq!(run(&k, &v), clean, "{poison}");
    }
}

#[test]
fn a_row_without_keys_is_0() {
    let options = Options { mask: Mask::Bool { data: &[0], strides: [0; 4] }, ..plain() };
    let d = single(2, 2);
    assert_eq!(scale_mask_softmax(&[f64::NAN, 1.0, f64::INFINITY, 2.0], d, options), [0.0; 4]);
    let (q, k, v) = views(&[NAN; 4], &[INF; 4], &[NAN; 2], d);
    assert_eq!(attention(q, k, v, d, options), [0.0; 2]);
}

#[test]
fn nan_and_infinity_in_what_is_allowed_reach_the_row() {
    let d = single(3, 3);
    for bad in [f64::NAN, f64::INFINITY] {
        let scores = [0.0, 1.0, 2.0, 0.0, bad, 1.0, 2.0, 1.0, 0.0];
        let weights = scale_mask_softmax(&scores, d, plain());
        assert!(weights[3..6].iter().all(|w| w.is_nan()) && weights[..3].iter().all(|w| w.is_finite()));
        assert!(weights[6..].iter().all(|w| w.is_finite()));
        // The second query's keys 1 and 2 are ruled out by the causal bound (here shifted by one).
        let weights = scale_mask_softmax(&scores, d, Options { causal: Causal::Offset(-1), ..plain() });
        assert_eq!(weights[3..6], [1.0, 0.0, 0.0]);
        // The whole row is NaN, what is masked in it too.
        let weights = scale_mask_softmax(&scores, d, Options { causal: Causal::TopLeft, ..plain() });
        assert!(weights[3..6].iter().all(|w| w.is_nan()));
    }
    // −∞ among others is a weight of 0; alone it is ∞ − ∞.
    let infinite = f64::NEG_INFINITY;
    assert_eq!(scale_mask_softmax(&[infinite, 3.0], single(1, 2), plain()), [0.0, 1.0]);
    assert!(scale_mask_softmax(&[infinite; 2], single(1, 2), plain()).iter().all(|w| w.is_nan()));
    // A NaN in V reaches its column through any allowed weight, 0 too.
    let v = View::new(&[NAN, 5.0], Strided::heads_first(1, 2, 1));
    assert!(weighted_values(&[0.0, 1.0], v, Some(&[true, true]), single(1, 2))[0].is_nan());
    assert!(weighted_values(&[0.0, 1.0], v, None, single(1, 2))[0].is_nan());
    assert_eq!(weighted_values(&[0.0, 1.0], v, Some(&[false, true]), single(1, 2)), [5.0]);
}

#[test]
fn every_finite_number_in_a_mask_is_a_score() {
    let d = single(1, 4);
    let of = |mask: [f32; 4], slopes: Option<&[f32]>, scores: [f64; 4]| {
        let mask = Mask::Float { data: &mask, strides: [0, 0, 0, 1] };
        let per_head = PerHead { alibi_slopes: slopes, ..PerHead::default() };
        scale_mask_softmax(&scores, d, Options { mask, per_head, ..plain() })
    };
    let scores = [0.5, -3.0, 2.0, 40.0];
    let third = 1.0 / 3.0;
    // f32 has nothing left of what is added to such a number.
    for low in [f32::MIN, -3.4e38, f32::MAX] {
        assert_eq!(of([low; 4], None, scores), [0.25; 4], "{low}");
    }
    assert_eq!(of([-INF, f32::MIN, f32::MIN, f32::MIN], None, scores), [0.0, third, third, third]);
    assert_eq!(of([f32::MIN, 0.0, f32::MIN, -3.4e38], None, scores), [0.0, 1.0, 0.0, 0.0]);
    // Beyond f32's range is −∞: the query stands at key 0, whose distance is none.
    let steep = Some(&[f32::MAX][..]);
    assert_eq!(of([f32::MIN; 4], steep, scores), [1.0, 0.0, 0.0, 0.0]);
    assert!(of([-INF, f32::MIN, f32::MIN, f32::MIN], steep, scores)[1].is_nan());
    let mask = Mask::Float { data: &[f32::MIN; 4], strides: [0, 0, 0, 1] };
    let sums = log_sum_exp(&scores, d, Options { mask, ..plain() });
    assert_eq!(sums, [f64::from(f32::MIN)]);
}

#[test]
fn grouped_heads_read_their_group() {
    let (q, k, v) = random_qkv(GROUPED, 11);
    // The same with each head of K and V written out three times.
    let repeat = |x: &[f32], columns: usize| -> Vec<f32> {
        x.chunks(7 * columns).flat_map(|head| head.repeat(3)).collect()
    };
    let (k_all, v_all) = (repeat(&k, 4), repeat(&v, 3));
    let full = Dims { heads_kv: 6, ..GROUPED };
    let (qv, kv, vv) = views(&q, &k, &v, GROUPED);
    let (qf, kf, vf) = views(&q, &k_all, &v_all, full);
    let options = Options::for_head_dim(4);
    let grouped = attention(qv, kv, vv, GROUPED, options);
    assert_eq!(grouped, attention(qf, kf, vf, full, options));
    // And by stride: a head stride of 0 is MQA.
    let mqa = Dims { heads_kv: 1, batch: 1, ..GROUPED };
    let zero = Dims { heads_kv: 6, batch: 1, ..GROUPED };
    let still = |data, columns| View::new(data, Strided { head: 0, ..Strided::heads_first(1, 7, columns) });
    let expected = attention(qv, kv, vv, mqa, options);
    assert_eq!(attention(qv, still(&k, 4), still(&v, 3), zero, options), expected);
    assert_ne!(grouped[..expected.len()], expected);
}

#[test]
fn packed_and_permuted_operands() {
    let d = Dims { batch: 2, heads: 3, heads_kv: 3, queries: 4, keys: 4, head_dim: 5, value_dim: 5 };
    let packed = Random(13).values(2 * 4 * 3 * 15);
    let part = |p| View::new(&packed, Strided::packed(p, 3, 3, 4, 5));
    // Taken apart by hand into [B, H, L, D].
    let apart = |p: usize| -> Vec<f32> {
        let mut out = Vec::new();
        for (b, h, l) in (0..24).map(|n| (n / 12, n / 4 % 3, n % 4)) {
            let start = (b * 4 + l) * 45 + p * 15 + h * 5;
            out.extend_from_slice(&packed[start..start + 5]);
        }
        out
    };
    let (q, k, v) = (apart(0), apart(1), apart(2));
    let (qv, kv, vv) = views(&q, &k, &v, d);
    let options = Options { causal: Causal::TopLeft, ..Options::for_head_dim(5) };
    let expected = attention(qv, kv, vv, d, options);
    assert_eq!(attention(part(0), part(1), part(2), d, options), expected);
    // One part of one is [B, L, H, D].
    assert_eq!(Strided::packed(0, 1, 3, 4, 5), Strided::rows_first(3, 4, 5));
}

#[test]
fn rows_first_permutes_heads_and_rows() {
    let d = Dims { batch: 1, heads: 2, heads_kv: 2, queries: 3, keys: 1, head_dim: 1, value_dim: 2 };
    let values: Vec<f64> = (0..12).map(f64::from).collect();
    assert_eq!(rows_first(&values, d), [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 10.0, 11.0]);
}

#[test]
fn the_order_of_the_keys_does_not_matter() {
    let d = Dims { batch: 1, heads: 2, heads_kv: 2, ..GROUPED };
    let (q, k, v) = random_qkv(d, 17);
    let reverse = |x: &[f32], columns: usize| -> Vec<f32> {
        x.chunks(7 * columns).flat_map(|head| head.chunks(columns).rev().flatten().copied()).collect()
    };
    let (k_back, v_back) = (reverse(&k, 4), reverse(&v, 3));
    let (qv, kv, vv) = views(&q, &k, &v, d);
    let (_, kb, vb) = views(&q, &k_back, &v_back, d);
    let options = Options::for_head_dim(4);
    assert_near(&attention(qv, kb, vb, d, options), &attention(qv, kv, vv, d, options), 1e-15);
}

#[test]
fn sizes_of_zero() {
    for zero in 0..6 {
        let mut d = Dims { batch: 2, heads: 2, heads_kv: 2, queries: 3, keys: 3, head_dim: 2, value_dim: 2 };
        match zero {
            0 => d.batch = 0,
            1 => (d.heads, d.heads_kv) = (0, 0),
            2 => d.queries = 0,
            3 => d.keys = 0,
            4 => d.head_dim = 0,
            _ => d.value_dim = 0,
        }
        let (q, k, v) = random_qkv(d, 19);
        let lengths = vec![3; d.batch];
        let options = Options { scale: 1.0, key_lengths: Some(&lengths), ..plain() };
        let (q, k, v) = views(&q, &k, &v, d);
        let y = attention(q, k, v, d, options);
        assert_eq!(y.len(), d.batch * d.heads * d.queries * d.value_dim);
        assert!(y.iter().all(|y| y.is_finite()), "{d:?}: {y:?}");
        if zero == 3 {
            assert_eq!(y, [0.0; 24]);
        }
    }
}

#[test]
#[should_panic(expected = "attention: k needs 6 elements for its strides, but has 5")]
fn strides_that_lead_out_are_named() {
    let (q, k, _) = views(&[0.0; 4], &[0.0; 5], &[], single(2, 3));
    scores(q, k, single(2, 3));
}

#[test]
#[should_panic(expected = "attention: mask needs 6 elements for its strides, but has 5")]
fn a_mask_that_is_too_short_is_named() {
    allowed(single(2, 3), Options { mask: Mask::Bool { data: &[1; 5], strides: [0, 0, 3, 1] }, ..plain() });
}

#[test]
#[should_panic(expected = "heads must be a multiple of heads_kv, but they are 3 and 2")]
fn heads_that_do_not_divide_are_named() {
    allowed(Dims { heads: 3, heads_kv: 2, ..single(1, 1) }, plain());
}
