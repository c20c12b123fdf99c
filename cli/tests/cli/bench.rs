//! `attentive bench`: rows that parse, comparisons that see what became slower, and calls that are wrong.

use crate::common;
use std::path::Path;
use std::process::Command;

use crate::command::{attentive, fails, run};
use serde_json::Value;

/// `attentive bench` over a few small shapes.
fn quick(device: &str, words: &[&str]) -> Command {
    let mut command = attentive();
    command.args(["bench", "--quick", "--rounds", "3", "--device", device]).args(words);
    command
}

/// The records of a CSV, each by its columns' names.
fn records(path: &Path) -> Vec<std::collections::HashMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().collect::<Result<_, _>>().unwrap()
}

/// The first adapter's specification, if there is one.
fn adapter() -> Option<String> {
    common::usable_adapters().first().map(|adapter| format!("gpu:{}", adapter.index))
}

#[test]
fn every_group_has_right_and_timed_rows_on_every_kind_of_device() {
    let folder = tempfile::tempdir().unwrap();
    for device in ["cpu".to_owned()].into_iter().chain(adapter()) {
        let (table, picture) = (folder.path().join("rows.csv"), folder.path().join("rows.svg"));
        let mut command = quick(&device, &["--format", "csv", "-o"]);
        let end = run(command.arg(&table).arg("--svg").arg(&picture));
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        assert_eq!(end.stdout, "");
        let rows = records(&table);
        for group in ["gemm", "attention", "norm", "layer", "model"] {
            for dtype in ["f32", "f16"] {
                if (group, dtype) == ("norm", "f16") {
                    continue;
                }
                let of = || rows.iter().filter(|row| row["group"] == group && row["dtype"] == dtype);
                assert!(of().count() > 0, "no {group} in {dtype}");
                // Each shape has one row that is chosen, and that has times.
                for row in of() {
                    let same =
                        of().filter(|other| other["shape"] == row["shape"] && other["chosen"] == "true");
                    assert_eq!(same.count(), 1, "{row:?}");
                    let timed = !row["wall_ms"].is_empty();
                    assert!(timed || row["note"].starts_with("unavailable: "), "{row:?}");
                    assert!(timed || row["chosen"] == "false", "{row:?}");
                    if !timed {
                        continue;
                    }
                    let number = |column: &str| row[column].parse::<f64>().unwrap();
                    assert!(number("wall_low_ms") <= number("wall_ms"), "{row:?}");
                    assert!(number("wall_ms") <= number("wall_high_ms"), "{row:?}");
                    assert!(number("gflops") > 0.0 && number("share_of_ceiling") > 0.0, "{row:?}");
                    assert!(number("first_call_ms") >= 0.0 && number("peak_bytes") > 0.0, "{row:?}");
                    // Fewer where the machine is slow.
                    assert!((1.0..=3.0).contains(&number("rounds")), "{row:?}");
                }
            }
        }
        let picture = std::fs::read_to_string(&picture).unwrap();
        for word in ["<svg", "GFLOP/s", "operations for each byte", "milliseconds", "attention, "] {
            assert!(picture.contains(word), "no {word} in the picture");
        }
    }
}

#[test]
fn what_became_slower_is_named_and_fails_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let (before, doctored) = (folder.path().join("before.csv"), folder.path().join("doctored.csv"));
    let words = ["gemm", "--dtype", "f32"];
    let mut command = quick("cpu", &words);
    assert_eq!(run(command.args(["--format", "csv", "-o"]).arg(&before)).code, Some(0));
    // Each time a thousandth, or thousandfold, of what it was.
    let doctor = |factor: f64| {
        let mut reader = csv::Reader::from_path(&before).unwrap();
        let mut writer = csv::Writer::from_path(&doctored).unwrap();
        let headers = reader.headers().unwrap().clone();
        writer.write_record(&headers).unwrap();
        for record in reader.records() {
            let record = record.unwrap();
            let cells = record.iter().zip(&headers).map(|(cell, header)| match cell.parse::<f64>() {
                Ok(number) if header.ends_with("_ms") => (number * factor).to_string(),
                _ => cell.to_owned(),
            });
            writer.write_record(cells).unwrap();
        }
        writer.flush().unwrap();
    };
    doctor(0.001);
    let end = run(quick("cpu", &words).arg("--compare").arg(&doctored));
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert!(end.stdout.contains("2 rows compared: 2 slower, 0 faster"), "{}", end.stdout);
    assert!(end.stdout.contains("[256, 256]·[256, 256]"), "{}", end.stdout);
    doctor(1000.0);
    let end = run(quick("cpu", &words).arg("--compare").arg(&doctored));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.stdout.contains("2 rows compared: 0 slower, 2 faster"), "{}", end.stdout);
    // Where stdout is CSV, the comparison is not.
    let end = run(quick("cpu", &words).args(["--format", "csv", "--compare"]).arg(&doctored));
    assert!(end.stdout.starts_with("device,group,") && !end.stdout.contains("compared"), "{}", end.stdout);
    assert!(end.stderr.contains("2 rows compared"), "{}", end.stderr);
}

#[test]
fn files_that_are_no_bench_are_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.csv");
    let name = path.to_str().unwrap();
    fails(&mut quick("cpu", &["gemm", "--compare", "nowhere.csv"]), 1, &["nowhere.csv"]);
    std::fs::write(&path, "a,b\n1,2\n").unwrap();
    fails(&mut quick("cpu", &["gemm", "--compare", name]), 1, &["other.csv", "there is no column `device`"]);
    let columns = "device,group,shape,dtype,implementation,chosen,gpu_ms,gpu_low_ms,gpu_high_ms,wall_ms,wall_low_ms,wall_high_ms\n";
    std::fs::write(&path, format!("{columns}CPU,gemm,s,f32,tiled,true,,,,fast,1,2\n")).unwrap();
    fails(&mut quick("cpu", &["gemm", "--compare", name]), 1, &["line 2", "`fast` is no time for wall_ms"]);
    std::fs::write(&path, format!("{columns}CPU,gemm,s,f32,tiled,true,,,,-1,1,2\n")).unwrap();
    fails(&mut quick("cpu", &["gemm", "--compare", name]), 1, &["`-1` is no time"]);
    fails(&mut quick("cpu", &["gemm", "-o", "nowhere/at/all.md"]), 1, &["there is no folder"]);
    // A file of another device compares nothing.
    std::fs::write(&path, format!("{columns}Another,gemm,s,f32,tiled,true,,,,1,1,2\n")).unwrap();
    let end = run(&mut quick("cpu", &["gemm", "--dtype", "f32", "--compare", name]));
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("it is of Another, this run of CPU"), "{}", end.stderr);
}

#[test]
fn wrong_calls_name_what_there_is() {
    let unknown =
        ["there is nothing named `gem`", "gemm, attention, norm, layer, model", "linear/gemm_subgroup8"];
    // Part of kernels' names is enough; this is not even that.
    fails(&mut quick("cpu", &["gem!"]), 2, &["there is nothing named `gem!`", unknown[1], unknown[2]]);
    fails(&mut quick("cpu", &[""]), 2, &["there is nothing named ``"]);
    fails(&mut quick("cpu", &["norm", "--dtype", "f16"]), 2, &["norms are f32 alone"]);
    fails(&mut quick("cpu", &["--dtype", "f64"]), 2, &["f64"]);
    fails(&mut quick("cpu", &["--rounds", "0"]), 2, &["--rounds"]);
    for seconds in ["0", "-1", "NaN", "inf", "x"] {
        fails(&mut quick("cpu", &[&format!("--longest={seconds}")]), 2, &["a number of seconds above 0"]);
    }
    fails(&mut quick("cuda", &[]), 2, &["`cuda` is not a device"]);
    fails(&mut quick("gpu:name=there is none such", &["gemm"]), 1, &["no adapter"]);
}

#[test]
fn single_kernels_are_benched_by_name() {
    let end = run(&mut quick("cpu", &["copy", "normalization/softmax", "--format", "json"]));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let all: Value = serde_json::from_str(&end.stdout).unwrap();
    let rows = all["devices"][0]["rows"].as_array().unwrap();
    let named =
        |name: &str| rows.iter().filter(|row| row["shape"].as_str().unwrap().starts_with(name)).count();
    assert_eq!((named("ceiling/copy"), named("normalization/softmax")), (2, 8));
    assert_eq!(named("elementwise/strided_copy"), 0);
    assert!(rows.iter().any(|row| row["times"]["wall_seconds"]["median"].as_f64().unwrap_or(0.0) > 0.0));
    assert!(all["devices"][0]["ceilings"]["bytes_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn shapes_past_a_limit_are_rows_that_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let words = ["bench", "gemm", "--dtype", "f32", "--rounds", "1", "--longest", "1e-7", "--device", "cpu"];
    let mut command = attentive();
    let end = run(command.args(words).args(["--format", "csv", "-o"]).arg(&path));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let rows = records(&path);
    assert!(rows.len() > 10);
    for row in &rows {
        assert!(row["note"].starts_with("left out: a call takes at least"), "{row:?}");
        assert!(row["wall_ms"].is_empty() && row["gflops"].is_empty(), "{row:?}");
    }
    // The same in Markdown.
    let end = run(attentive().args(words));
    assert!(end.stdout.contains("[8192, 8192]·[8192, 8192] | f32 | choice"), "{}", end.stdout);
    assert!(end.stdout.contains("left out: a call takes at least"), "{}", end.stdout);
}
