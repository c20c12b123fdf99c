//! Buffers and shapes that do not fit an attention plan are refused by name.

use super::attention_plan::shape;
use crate::common;
use attentive::ops::{Alignment, AttentionVariableLengths, BufferPart, PagedKeys, PerHead};
use attentive::wgpu::{self};
use attentive::{AttentionBuffers, AttentionPlan, AttentionShape, Causal, DType, Device, Error};

#[test]
fn buffers_that_do_not_fit_are_refused_by_name() {
    let shape = AttentionShape {
        has_key_lengths: true,
        per_head: PerHead::from_names(|_| true),
        relative_bias: Some(2),
        mask: Some([3, 1, 11, 37]),
        ..shape()
    };
    let padded = AttentionShape { has_key_padding_mask: true, ..super::attention_plan::shape() };
    let packed = AttentionShape {
        packed: Some(AttentionVariableLengths { queries: 27, keys: 80 }),
        ..super::attention_plan::shape()
    };
    let paged = AttentionShape {
        keys: 36,
        paged: Some(PagedKeys { pages: 31, page_size: 4 }),
        ..super::attention_plan::shape()
    };
    for device in common::adapters() {
        let (host, _) = device.wgpu().unwrap();
        let buffer = |size: u64, usage| {
            host.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let large: Vec<wgpu::Buffer> =
            (0..11).map(|_| buffer(1 << 16, wgpu::BufferUsages::STORAGE)).collect();
        let [q, k, v, output, lengths, padding, mask, relative, sums, table, log_sums] = &large[..] else {
            panic!("{}", large.len())
        };
        let (small, uniform) =
            (buffer(8, wgpu::BufferUsages::STORAGE), buffer(1 << 16, wgpu::BufferUsages::UNIFORM));
        let plain =
            AttentionBuffers { log_sum_exp: Some(log_sums.into()), ..AttentionBuffers::new(q, k, v, output) };
        // One for each option of the heads.
        let of_heads = PerHead::from_names(|_| buffer(1 << 16, wgpu::BufferUsages::STORAGE));
        let per_head = of_heads.as_ref().map(|_, buffer| Some(buffer.into()));
        let (slopes, sinks) = (&of_heads.alibi_slopes, &of_heads.sinks);
        let with = |name: &str, buffer: Option<_>| {
            let mut changed: PerHead<Option<BufferPart<'_>>> = per_head;
            *changed.get_mut(name).unwrap() = buffer;
            changed
        };
        let whole = AttentionBuffers {
            key_lengths: Some(lengths.into()),
            per_head,
            relative_bias: Some(relative.into()),
            mask: Some(mask.into()),
            ..plain
        };
        let refused = |shape: &AttentionShape, buffers: AttentionBuffers<'_>, words: &[&str]| {
            let plan = AttentionPlan::new(&device, shape).unwrap();
            let mut encoder = host.create_command_encoder(&Default::default());
            let error = plan.record(&mut encoder, buffers).unwrap_err();
            assert!(matches!(error, Error::Argument { .. }), "{error:?}");
            let message = error.to_string();
            for word in words {
                assert!(message.contains(word), "`{word}` is not in: {message}");
            }
        };
        // Too small, or of another usage.
        for (name, needed, buffers) in [
            ("q", 3 * 4 * 11 * 7 * 4, AttentionBuffers { q: (&small).into(), ..whole }),
            ("k", 3 * 2 * 37 * 7 * 4, AttentionBuffers { k: (&small).into(), ..whole }),
            ("v", 3 * 2 * 37 * 9 * 4, AttentionBuffers { v: (&small).into(), ..whole }),
            ("output", 3 * 4 * 11 * 9 * 4, AttentionBuffers { output: (&small).into(), ..whole }),
            ("key_lengths", 12, AttentionBuffers { key_lengths: Some((&small).into()), ..whole }),
            ("mask", 3 * 11 * 37 * 4, AttentionBuffers { mask: Some((&small).into()), ..whole }),
            ("relative_bias", 80, AttentionBuffers { relative_bias: Some((&small).into()), ..whole }),
            ("log_sum_exp", 3 * 4 * 11 * 4, AttentionBuffers { log_sum_exp: Some((&small).into()), ..whole }),
        ] {
            let needed = format!("{needed} bytes");
            refused(
                &shape,
                buffers,
                &["attention plan", &format!("the buffer of {name} "), &needed, "is 8 bytes"],
            );
        }
        for &name in PerHead::NAMES {
            let missing = AttentionBuffers { per_head: with(name, None), ..whole };
            refused(&shape, missing, &["attention plan", name, "made with it", "absent"]);
            let short = AttentionBuffers { per_head: with(name, Some((&small).into())), ..whole };
            let words = ["attention plan", &format!("the buffer of {name} "), "16 bytes", "is 8 bytes"];
            refused(&shape, short, &words);
            let bare = AttentionShape { has_log_sum_exp: false, ..super::attention_plan::shape() };
            let only =
                AttentionBuffers { log_sum_exp: None, per_head: PerHead::only(name, slopes.into()), ..plain };
            refused(&bare, only, &["attention plan", name, "absent, as the plan was made without it"]);
        }
        refused(
            &shape,
            AttentionBuffers { k: (&uniform).into(), ..whole },
            &["the buffer of k ", "STORAGE", "UNIFORM"],
        );
        refused(
            &padded,
            AttentionBuffers { key_padding_mask: Some((&small).into()), ..plain },
            &["the buffer of key_padding_mask ", "444 bytes"],
        );
        refused(
            &packed,
            AttentionBuffers { packed: Some((&small).into()), ..plain },
            &["the buffer of packed ", "32 bytes"],
        );
        refused(
            &paged,
            AttentionBuffers { page_table: Some((&small).into()), ..plain },
            &["the buffer of page_table ", "108 bytes"],
        );
        // Missing.
        for (name, shape, buffers) in [
            ("key_lengths", &shape, AttentionBuffers { key_lengths: None, ..whole }),
            ("mask", &shape, AttentionBuffers { mask: None, ..whole }),
            ("relative_bias", &shape, AttentionBuffers { relative_bias: None, ..whole }),
            ("log_sum_exp", &shape, AttentionBuffers { log_sum_exp: None, ..whole }),
            ("key_padding_mask", &padded, plain),
            ("packed", &packed, plain),
            ("page_table", &paged, plain),
        ] {
            refused(shape, buffers, &["attention plan", name, "made with it", "absent"]);
        }
        // Not asked for: what would be passed over shows in no number.
        let bare = AttentionShape { has_log_sum_exp: false, ..super::attention_plan::shape() };
        let only = AttentionBuffers { log_sum_exp: None, ..plain };
        for (name, buffers) in [
            ("key_lengths", AttentionBuffers { key_lengths: Some(lengths.into()), ..only }),
            ("key_padding_mask", AttentionBuffers { key_padding_mask: Some(padding.into()), ..only }),
            ("mask", AttentionBuffers { mask: Some(mask.into()), ..only }),
            ("relative_bias", AttentionBuffers { relative_bias: Some(relative.into()), ..only }),
            ("packed", AttentionBuffers { packed: Some(sums.into()), ..only }),
            ("page_table", AttentionBuffers { page_table: Some(table.into()), ..only }),
            ("log_sum_exp", plain),
        ] {
            refused(&bare, buffers, &["attention plan", name, "absent, as the plan was made without it"]);
        }
        // One buffer twice, one of them to be written.
        for (name, other, buffers) in [
            ("the output", "q", AttentionBuffers { output: q.into(), ..whole }),
            ("the output", "k", AttentionBuffers { output: k.into(), ..whole }),
            ("the output", "v", AttentionBuffers { output: v.into(), ..whole }),
            ("the output", "the mask", AttentionBuffers { output: mask.into(), ..whole }),
            ("the output", "key_lengths", AttentionBuffers { output: lengths.into(), ..whole }),
            ("the output", "alibi_slopes", AttentionBuffers { output: slopes.into(), ..whole }),
            ("the output", "relative_bias", AttentionBuffers { output: relative.into(), ..whole }),
            ("log_sum_exp", "sinks", AttentionBuffers { log_sum_exp: Some(sinks.into()), ..whole }),
            ("log_sum_exp", "the output", AttentionBuffers { log_sum_exp: Some(output.into()), ..whole }),
        ] {
            refused(&shape, buffers, &[name, "a value of its own", &format!("that of {other}")]);
        }
        // Keys may be values, and queries both.
        let plan = AttentionPlan::new(&device, &AttentionShape::new([1, 2, 5, 8])).unwrap();
        let mut encoder = host.create_command_encoder(&Default::default());
        plan.record(&mut encoder, AttentionBuffers::new(q, q, q, output)).unwrap();
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let huge = usize::MAX;
    for device in common::adapters() {
        for (shape, words) in [
            (
                AttentionShape { key_heads: 3, ..shape() },
                &["heads of q", "[3, 4, 11, 7]", "k [3, 3, 37, 7]"][..],
            ),
            (AttentionShape { head_dim: 0, ..shape() }, &["head_dim", "at least 1"]),
            (
                AttentionShape { queries: 3, keys: 5, ..AttentionShape::default() },
                &["head_dim", "at least 1"],
            ),
            (AttentionShape::new([1, 4, 5, 8]).grouped(3), &["heads of q", "[1, 4, 5, 8]", "k [1, 3, 5, 8]"]),
            (AttentionShape { mask: Some([3, 4, 11, 36]), ..shape() }, &["the mask", "[3, 4, 11, 37]"]),
            (AttentionShape { softcap: f32::NAN, ..shape() }, &["softcap", "finite", "NaN"]),
            (AttentionShape { scale: Some(f32::INFINITY), ..shape() }, &["scale", "finite", "inf"]),
            (AttentionShape { key_dtype: DType::U32, ..shape() }, &["k must be f32 or f16", "u32"]),
            (
                AttentionShape {
                    causal: Causal::TopLeft,
                    alignment: Some(Alignment::BottomRight),
                    ..shape()
                },
                &["the alignment", "TopLeft", "BottomRight"],
            ),
            (
                AttentionShape {
                    packed: Some(AttentionVariableLengths { queries: 10, keys: 80 }),
                    ..shape()
                },
                &["the longest", "at most 10 and 80", "[11, 37]"],
            ),
            (
                AttentionShape { paged: Some(PagedKeys { pages: 0, page_size: 4 }), ..shape() },
                &["the pool of k", "at least one page", "[0, 2, 4, 7]"],
            ),
            (
                AttentionShape { paged: Some(PagedKeys { pages: 4, page_size: 0 }), ..shape() },
                &["the pool of k", "at least one page", "[4, 2, 0, 7]"],
            ),
            (
                AttentionShape { has_key_lengths: true, has_key_padding_mask: true, ..shape() },
                &["key_padding_mask", "absent", "key_lengths"],
            ),
        ] {
            let error = AttentionPlan::new(&device, &shape).unwrap_err();
            assert!(matches!(error, Error::Argument { .. }), "{shape:?}: {error:?}");
            let message = error.to_string();
            for word in words {
                assert!(message.contains(word), "`{word}` is not in: {message}");
            }
        }
        // Sizes whose products overflow; without elements, too.
        for shape in [
            AttentionShape { batch: huge, ..shape() },
            AttentionShape { batch: huge, heads: 0, key_heads: 0, ..shape() },
            AttentionShape { heads: huge, key_heads: 1, ..shape() },
            AttentionShape { queries: huge, batch: 0, ..shape() },
            AttentionShape { mask: Some([huge; 4]), ..shape() },
            AttentionShape { paged: Some(PagedKeys { pages: huge, page_size: huge }), ..shape() },
        ] {
            let outcome = AttentionPlan::new(&device, &shape);
            assert!(
                matches!(outcome, Err(Error::Argument { .. } | Error::Limit { .. })),
                "{shape:?}: {outcome:?}"
            );
        }
    }
    assert!(matches!(AttentionPlan::new(&Device::cpu(), &shape()), Err(Error::Argument { .. })));
}
