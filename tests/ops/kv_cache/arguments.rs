//! What does not fit a cache is refused, and leaves it as it was.

use attentive::ops::{Attention, Heads, KvCache, KvCacheShape};
use attentive::{DType, Device, Error, Recording, Tensor};

use super::scenario::taken;
use super::{SHAPE, append, means, pool};
use crate::common::{self, assert_refused};

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    for device in common::devices() {
        let shape = KvCacheShape { capacity: 6, paged: pool(7, 2), ..SHAPE };
        let mut cache = KvCache::new(&device, shape).unwrap();
        let mut recording = Recording::new(&device);
        append(&mut cache, &mut recording, 3.0, &[5, 1, 0]).unwrap();
        recording.run().unwrap();

        let mut recording = Recording::new(&device);
        let mut foreign = Recording::new(&device);
        let words = recording.tensor(&Tensor::from_u32(&device, [3, 2, 1, 7], &[0; 42]).unwrap()).unwrap();
        let zeros = |recording: &mut Recording, dims: [usize; 4]| {
            taken(recording, &dims, &vec![0.0; dims.iter().product()])
        };
        let k = zeros(&mut recording, [3, 2, 1, 7]);
        let v = zeros(&mut recording, [3, 2, 1, 5]);
        let of_another = zeros(&mut foreign, [3, 2, 1, 5]);
        for (dims, value_dims) in [
            ([2, 2, 1, 7], [3, 2, 1, 5]),
            ([3, 1, 1, 7], [3, 2, 1, 5]),
            ([3, 2, 1, 8], [3, 2, 1, 5]),
            ([3, 2, 1, 7], [3, 2, 2, 5]),
            ([3, 2, 1, 7], [3, 2, 1, 7]),
            ([3, 2, 1, 7], [2, 2, 1, 5]),
        ] {
            let (k, v) = (zeros(&mut recording, dims), zeros(&mut recording, value_dims));
            let (k, v) = (Heads::dense(&k).unwrap(), Heads::dense(&v).unwrap());
            let wrong = if dims == [3, 2, 1, 7] { value_dims } else { dims };
            let name = if dims == [3, 2, 1, 7] { "v must be [3, 2, 1, 5]" } else { "k must be [3, 2, 1, 7]" };
            let outcome = cache.record_append(&mut recording, &k, &v, None);
            assert_refused(outcome, &["kv_cache", name, &format!("is {wrong:?}")]);
        }
        let [k, v, words] = [&k, &v, &words].map(|value| Heads::dense(value).unwrap());
        let of_another = Heads::dense(&of_another).unwrap();
        assert_refused(cache.record_append(&mut recording, &words, &v, None), &["k must be f32", "u32"]);
        // The keys could be recorded, but the values cannot.
        let outcome = cache.record_append(&mut recording, &k, &of_another, None);
        assert_refused(outcome, &["kv_cache", "v must be a value of this recording", "[3, 2, 1, 5]"]);
        for counts in [&[1, 1][..], &[1, 1, 1, 1], &[1, 2, 1], &[u32::MAX, 0, 0], &[]] {
            let found = format!("{counts:?}");
            let outcome = cache.record_append(&mut recording, &k, &v, Some(counts));
            assert_refused(outcome, &["counts", "3 items", "at most 1", &found]);
        }
        // Past the capacity of an item, and past the pool: 3 + 1 of 7 pages are taken.
        let outcome = append(&mut cache, &mut recording, 4.0, &[2, 0, 0]);
        assert_refused(outcome, &["the keys of item 0", "at most 6", "5 and 2 more"]);
        let outcome = append(&mut cache, &mut recording, 4.0, &[0, 5, 4]);
        assert_refused(outcome, &["the pages", "4 free of a pool of 7", "3 free"]);
        assert_refused(cache.truncate(3, 0), &["the item", "below 3", "3"]);
        assert_refused(cache.truncate(0, 6), &["the length", "at most 5", "item 0", "6"]);
        // The cache's own memory.
        let own = recording.tensor(&cache.values().reshape([7, 2, 2, 5]).unwrap()).unwrap();
        let own = Heads::strided(&own, [3, 2, 1, 5], 0, [0; 3]).unwrap();
        assert_refused(
            cache.record_append(&mut recording, &k, &own, None),
            &["v must be", "one of the cache's"],
        );

        let q = zeros(&mut recording, [3, 2, 1, 7]);
        let q = Heads::dense(&q).unwrap();
        let mask = recording.tensor(&Tensor::from_u32(&device, [3, 6], &[1; 18]).unwrap()).unwrap();
        for (attention, found) in [
            (Attention::new().key_lengths(&[1, 1, 1]), "key lengths or a key padding mask"),
            (Attention::new().key_padding_mask(&mask), "key lengths or a key padding mask"),
            (Attention::new().page_table(&[0, 1, 2]), "a page table"),
            (Attention::new().packed(&[0, 1], &[0, 1]), "packed items"),
        ] {
            let outcome = cache.record_attention(&mut recording, attention, &q);
            assert_refused(outcome, &["kv_cache", "the attention", found]);
        }
        for dims in [[2, 2, 1, 7], [3, 3, 1, 7], [3, 2, 1, 5]] {
            let q = zeros(&mut recording, dims);
            let outcome =
                cache.record_attention(&mut recording, Attention::new(), &Heads::dense(&q).unwrap());
            assert_refused(outcome, &["q must be [3, a multiple of 2, Lq, 7]", &format!("is {dims:?}")]);
        }
        // Nothing was recorded, and all is as it was: the three pages that are left can still be had.
        assert_eq!(recording.run().unwrap().statistics.dispatches, 0, "{}", device.name());
        assert_eq!(cache.lengths(), [5, 1, 0]);
        let mut recording = Recording::new(&device);
        append(&mut cache, &mut recording, 9.0, &[1, 3, 4]).unwrap();
        recording.run().unwrap();
        let expected: [f32; 3] = [(5.0 * 3.0 + 9.0) / 6.0, (3.0 + 27.0) / 4.0, 9.0];
        for (got, expected) in means(&cache, &device).iter().zip(expected) {
            assert!((got - expected).abs() <= 1e-5, "{}: {got}, not {expected}", device.name());
        }
    }
}

#[test]
fn a_cache_of_another_device() {
    for device in common::adapters() {
        for (one, other) in [(&device, &Device::cpu()), (&Device::cpu(), &device)] {
            // One page for each item: were one lost, the second append could not have it.
            let shape = KvCacheShape { paged: pool(3, 12), ..SHAPE };
            let mut cache = KvCache::new(one, shape).unwrap();
            let mut recording = Recording::new(other);
            let error = append(&mut cache, &mut recording, 1.0, &[1, 1, 1]).unwrap_err();
            assert!(matches!(error, Error::WrongDevice { .. }), "{error:?}");
            let q = taken(&mut recording, &[3, 2, 1, 7], &[0.0; 42]);
            let outcome =
                cache.record_attention(&mut recording, Attention::new(), &Heads::dense(&q).unwrap());
            assert!(matches!(outcome, Err(Error::WrongDevice { .. })), "{outcome:?}");
            assert_eq!(cache.lengths(), [0, 0, 0]);
            let mut recording = Recording::new(one);
            append(&mut cache, &mut recording, 1.0, &[1, 1, 1]).unwrap();
            recording.run().unwrap();
            assert_eq!(means(&cache, one), [1.0, 1.0, 1.0]);
        }
    }
}

#[test]
fn sizes_of_caches() {
    let device = Device::cpu();
    let make = |shape: KvCacheShape| KvCache::new(&device, shape);
    for shape in [
        KvCacheShape { batch: 0, ..SHAPE },
        KvCacheShape { key_heads: 0, ..SHAPE },
        KvCacheShape { capacity: 0, ..SHAPE },
        KvCacheShape { head_dim: 0, ..SHAPE },
        KvCacheShape { value_dim: 0, ..SHAPE },
        KvCacheShape { paged: pool(4, 0), ..SHAPE },
        KvCacheShape { paged: pool(0, 4), ..SHAPE },
    ] {
        assert_refused(make(shape), &["kv_cache", "at least 1", &format!("{shape:?}")]);
    }
    assert_refused(make(KvCacheShape { dtype: DType::U32, ..SHAPE }), &["dtype", "f32 or f16", "u32"]);
    let huge = usize::MAX;
    for shape in [
        KvCacheShape { batch: huge, ..SHAPE },
        KvCacheShape { capacity: 1 << 31, ..SHAPE },
        KvCacheShape { head_dim: huge, dtype: DType::F16, ..SHAPE },
        KvCacheShape { batch: huge, paged: pool(4, 1), ..SHAPE },
        KvCacheShape { batch: 1 << 40, capacity: 1, paged: pool(4, 1), ..SHAPE },
        KvCacheShape { paged: pool(4, huge), ..SHAPE },
        KvCacheShape { paged: pool(huge, 4), ..SHAPE },
    ] {
        assert!(matches!(make(shape), Err(Error::Limit { .. })), "{shape:?}");
    }
    assert_refused(
        make(KvCacheShape { capacity: huge, paged: pool(5, 2), ..SHAPE }),
        &["the capacity", "4294901759"],
    );
    // A capacity that the pool can never fill takes no memory.
    let mut cache = make(KvCacheShape { capacity: 1 << 31, paged: pool(5, 2), ..SHAPE }).unwrap();
    let mut recording = Recording::new(&device);
    append(&mut cache, &mut recording, 2.0, &[4, 2, 3]).unwrap();
    recording.run().unwrap();
    assert_eq!(means(&cache, &device), [2.0; 3]);
    let mut recording = Recording::new(&device);
    assert_refused(append(&mut cache, &mut recording, 2.0, &[0, 1, 0]), &["the pages", "pool of 5"]);
    // Nothing new for any item is nothing to do.
    append(&mut cache, &mut recording, 2.0, &[0, 0, 0]).unwrap();
    assert_eq!(cache.lengths(), [4, 2, 3]);
    assert_eq!(recording.run().unwrap().statistics.dispatches, 0);
}

#[test]
fn what_cannot_be_reordered() {
    let device = Device::cpu();
    let mut cache = KvCache::new(&device, SHAPE).unwrap();
    assert_refused(cache.reorder(&[0, 1, 2]), &["a cache to be reordered", "pages of one key", "one piece"]);
    let mut cache = KvCache::new(&device, KvCacheShape { paged: pool(9, 4), ..SHAPE }).unwrap();
    assert_refused(cache.reorder(&[0, 1, 2]), &["pages of one key", "pages of 4"]);
    let mut cache = KvCache::new(&device, KvCacheShape { paged: pool(36, 1), ..SHAPE }).unwrap();
    assert_refused(cache.reorder(&[0, 1]), &["parents", "3 items", "[0, 1]"]);
    assert_refused(cache.reorder(&[0, 3, 1]), &["parents", "below 3", "[0, 3, 1]"]);
}

#[test]
fn keys_that_are_counted_on_the_device() {
    for device in common::devices() {
        for paged in [None, pool(7, 4)] {
            let mut cache = KvCache::new(&device, KvCacheShape { paged, ..SHAPE }).unwrap();
            let KvCacheShape { batch, key_heads, capacity, head_dim, value_dim, .. } = SHAPE;
            assert_refused(
                cache.advance(&[1; 3]),
                &["counts", "one for each of 3 items, at most 0", "[1, 1, 1]"],
            );
            let mut recording = Recording::new(&device);
            let k = common::zeros(&mut recording, &[batch, key_heads, 2, head_dim]);
            let v = common::zeros(&mut recording, &[batch, key_heads, 2, value_dim]);
            let [k, v] = [&k, &v].map(|value| Heads::dense(value).unwrap());
            assert_refused(cache.record_append_at_device(&mut recording, &k, &k), &["v", "[3, 2, 2, 5]"]);
            cache.record_append_at_device(&mut recording, &k, &v).unwrap();
            assert_eq!(cache.lengths(), [0; 3]);
            assert_refused(cache.advance(&[1; 2]), &["counts", "one for each of 3 items", "[1, 1]"]);
            assert_refused(cache.advance(&[0, 3, 0]), &["counts", "at most 2", "[0, 3, 0]"]);
            let made = device.created().buffers;
            for _ in 0..capacity / 2 {
                cache.advance(&[0, 2, 0]).unwrap();
            }
            assert_eq!(device.created().buffers, made);
            assert_refused(cache.advance(&[0, 1, 0]), &["the keys of item 1", "at most 12", "12 and 1 more"]);
            if paged.is_some() {
                // Three of seven pages are taken, and four are free.
                (0..4).for_each(|_| cache.advance(&[2, 0, 2]).unwrap());
                assert_refused(cache.advance(&[1, 0, 0]), &["the pages", "0 free"]);
                assert_eq!(cache.lengths(), [8, 12, 8]);
            }
            let q = common::zeros(&mut recording, &[batch, 4, 1, head_dim]);
            let q = Heads::dense(&q).unwrap();
            let attention = Attention::new().key_lengths(&[1; 3]);
            let outcome = cache.record_attention_at_device(&mut recording, attention, &q);
            assert_refused(outcome, &["the attention", "key lengths"]);
        }
    }
}
