//! Every shader module of every kernel, without a GPU: naga validates it and translates it to each backend's language,
//! and its reflection is held against what the host believes of it.

#[cfg(unix)]
use crate::browser;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use attentive::device::Texel;
use attentive::kernel::{Access, Constant, Depth, FieldKind, Kernel, Variant, imports, module};
use attentive::kernels::KERNELS;
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::BoundsCheckPolicies;
use naga::valid::{Capabilities, ModuleInfo, SubgroupOperationSet, ValidationFlags, Validator};

/// A module that is like no other, with the first variant that it was made for.
struct Made {
    kernel: &'static dyn Kernel,
    variant: Variant,
    text: String,
}

impl Made {
    fn name(&self) -> String {
        format!("{} {}", self.kernel.name(), self.variant)
    }

    fn needs(&self, extension: &str) -> bool {
        self.variant.enables().contains(&extension)
    }
}

/// All modules of the registry, each text once.
fn modules() -> Vec<Made> {
    let mut texts = BTreeSet::new();
    let mut made = Vec::new();
    for &kernel in KERNELS {
        for variant in kernel.variants() {
            let text = module(kernel, &variant).unwrap();
            if texts.insert(text.clone()) {
                made.push(Made { kernel, variant, text });
            }
        }
    }
    assert!(made.len() >= KERNELS.len(), "each kernel has at least one module");
    made
}

/// What a module may use: core WebGPU, and what the extensions that its variant names stand for. Nothing else, so
/// that a variant which uses a feature without saying so fails here and not on the first adapter that lacks it.
fn capabilities(variant: &Variant) -> Capabilities {
    let core = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    variant.enables().iter().fold(core, |sum, &extension| {
        sum | match extension {
            "f16" => Capabilities::SHADER_FLOAT16,
            "subgroups" => Capabilities::SUBGROUP | Capabilities::SUBGROUP_BARRIER,
            "wgpu_cooperative_matrix" => Capabilities::COOPERATIVE_MATRIX,
            other => panic!("`enable {other}` is new here: say which capability it stands for"),
        }
    })
}

fn parse(made: &Made) -> Result<(naga::Module, ModuleInfo), String> {
    let parsed = naga::front::wgsl::parse_str(&made.text)
        .map_err(|error| format!("{}: {}", made.name(), error.emit_to_string(&made.text)))?;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities(&made.variant));
    validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all());
    let info = validator
        .validate(&parsed)
        .map_err(|error| format!("{}: {}", made.name(), error.emit_to_string(&made.text)))?;
    Ok((parsed, info))
}

/// Collects what fails over all modules, so that one run shows all of it.
fn for_each_module(check: impl Fn(&Made, &naga::Module, &ModuleInfo) -> Result<(), String>) -> usize {
    let modules = modules();
    let outcomes = modules.iter().map(|made| {
        let (parsed, info) = parse(made)?;
        check(made, &parsed, &info).map_err(|reason| format!("{}: {reason}", made.name()))
    });
    let failures: Vec<String> = outcomes.filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{} of {} modules:\n{}", failures.len(), modules.len(), failures.join("\n"));
    modules.len()
}

#[test]
fn modules_are_valid_within_the_extensions_that_they_name() {
    let count = for_each_module(|_, _, _| Ok(()));
    println!("{count} modules are valid");
}

#[test]
fn modules_translate_to_every_backend() {
    let mut translated = BTreeMap::<&str, usize>::new();
    let counts = std::cell::RefCell::new(&mut translated);
    let count = for_each_module(|made, parsed, info| {
        for (language, outcome) in [
            ("SPIR-V", to_spirv(parsed, info)),
            ("MSL", to_msl(parsed, info)),
            ("HLSL", to_hlsl(made, parsed, info)),
            ("GLSL 430", to_glsl(made, parsed, info, glsl::Version::Desktop(430))),
            ("GLSL ES 310", to_glsl(made, parsed, info, glsl::Version::new_gles(310))),
        ] {
            let translation = outcome.map_err(|reason| format!("{language}: {reason}"))?;
            if translation == Translation::Done {
                *counts.borrow_mut().entry(language).or_default() += 1;
            }
        }
        Ok(())
    });
    println!("{count} modules; translated: {translated:?}");
    // Only what needs an extension may be left out, and only of GLSL; cooperative matrices are not in HLSL either.
    let plain = modules().iter().filter(|made| made.variant.enables().is_empty()).count();
    let hlsl = modules().iter().filter(|made| !made.needs("wgpu_cooperative_matrix")).count();
    for (language, least) in
        [("SPIR-V", count), ("MSL", count), ("HLSL", hlsl), ("GLSL 430", plain), ("GLSL ES 310", plain)]
    {
        assert_eq!(translated.get(language), Some(&least), "{language}");
    }
}

#[derive(PartialEq)]
enum Translation {
    Done,
    /// The backend has no such thing, and wgpu does not offer the feature there.
    NotThere,
}

type Translated = Result<Translation, String>;

fn written(text: &str, marks: &[&str]) -> Translated {
    match marks.iter().find(|mark| !text.contains(**mark)) {
        Some(mark) => Err(format!("`{mark}` is not in the text")),
        None => Ok(Translation::Done),
    }
}

const COMPUTE: naga::ShaderStage = naga::ShaderStage::Compute;

fn to_spirv(parsed: &naga::Module, info: &ModuleInfo) -> Translated {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let entry = spv::PipelineOptions { shader_stage: COMPUTE, entry_point: "main".to_owned() };
    let words = spv::write_vec(parsed, info, &options, Some(&entry)).map_err(|error| error.to_string())?;
    match words.first() {
        Some(0x0723_0203) => Ok(Translation::Done),
        other => Err(format!("begins with {other:?}")),
    }
}

fn to_msl(parsed: &naga::Module, info: &ModuleInfo) -> Translated {
    // 2.4: the oldest that wgpu meets on a supported macOS; subgroup operations are in it.
    let options = msl::Options { lang_version: (2, 4), ..Default::default() };
    let entry =
        msl::PipelineOptions { entry_point: Some((COMPUTE, "main".to_owned())), ..Default::default() };
    let (text, translation) =
        msl::write_string(parsed, info, &options, &entry).map_err(|error| error.to_string())?;
    for name in translation.entry_point_names {
        name.map_err(|error| error.to_string())?;
    }
    written(&text, &["kernel void main_("])
}

fn to_hlsl(made: &Made, parsed: &naga::Module, info: &ModuleInfo) -> Translated {
    // FXC has no f16, no subgroups and no 64-bit integers: wgpu offers those features with DXC only.
    let shader_model = match made.variant.enables().is_empty() {
        true => hlsl::ShaderModel::V5_1,
        false => hlsl::ShaderModel::V6_2,
    };
    if made.needs("wgpu_cooperative_matrix") {
        return Ok(Translation::NotThere);
    }
    let options = hlsl::Options { shader_model, ..Default::default() };
    let entry = hlsl::PipelineOptions { entry_point: Some((COMPUTE, "main".to_owned())) };
    let mut text = String::new();
    let reflection = hlsl::Writer::new(&mut text, &options, &entry)
        .write(parsed, info, None)
        .map_err(|error| error.to_string())?;
    for name in reflection.entry_point_names {
        name.map_err(|error| error.to_string())?;
    }
    written(&text, &["numthreads", "void main("])
}

fn to_glsl(made: &Made, parsed: &naga::Module, info: &ModuleInfo, version: glsl::Version) -> Translated {
    // wgpu's OpenGL backend offers none of the features behind the extensions.
    if !made.variant.enables().is_empty() {
        return Ok(Translation::NotThere);
    }
    let options = glsl::Options { version, ..Default::default() };
    let entry =
        glsl::PipelineOptions { shader_stage: COMPUTE, entry_point: "main".to_owned(), multiview: None };
    let mut text = String::new();
    let policies = BoundsCheckPolicies::default();
    glsl::Writer::new(&mut text, parsed, info, &options, &entry, policies)
        .and_then(|mut writer| writer.write())
        .map_err(|error| error.to_string())?;
    written(&text, &["local_size_x", "void main()"])
}

/// Extensions whose modules a browser must refuse in this test, and why.
#[cfg(unix)]
const REFUSED: [(&str, &str); 2] = [
    ("wgpu_cooperative_matrix", "wgpu's own, which no browser has"),
    ("f16", "SwiftShader, whose adapter every Chromium has, lacks `shader-f16`"),
];

/// What Chromium's Tint says of each text: its errors, with the lines that they are about.
#[cfg(unix)]
const ASK: &str = r#"<!doctype html><meta charset="utf-8"><script type="module">
const texts = TEXTS;
const said = [];
try {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter.requestDevice({
    requiredFeatures: ['shader-f16', 'subgroups'].filter((name) => adapter.features.has(name)),
  });
  for (const code of texts) {
    device.pushErrorScope('validation');
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    await device.popErrorScope();
    const errors = messages.filter((message) => message.type === 'error');
    said.push(errors.map((error) => error.message + ' at `' + code.split('\n')[error.lineNum - 1]?.trim() + '`'));
  }
} catch (problem) {
  window.problem = String(problem);
}
window.said = said;
document.documentElement.dataset.ready = '';
</script>"#;

#[cfg(unix)]
#[test]
fn a_browser_takes_every_module() {
    let Some(program) = browser::chosen() else { return };
    let (mut names, mut texts) = (Vec::new(), Vec::new());
    for made in modules() {
        let refused = REFUSED.iter().find(|(extension, _)| made.needs(extension));
        names.push((made.name(), refused));
        texts.push(attentive::kernel::browser_module(made.kernel, &made.variant).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("modules.html");
    std::fs::write(&page, ASK.replace("TEXTS", &serde_json::to_string(&texts).unwrap())).unwrap();
    let switches = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
    let mut browser = browser::Browser::start(&program, &switches);
    browser.open(&page);
    let problem = browser.value("window.problem ?? null");
    assert!(problem.is_null(), "the page could not ask: {problem}");
    let said: Vec<Vec<String>> = serde_json::from_value(browser.value("said")).unwrap();
    assert_eq!(said.len(), names.len());
    let wrong: Vec<String> = names
        .iter()
        .zip(said)
        .filter_map(|((name, refused), errors)| match refused {
            Some((extension, why)) if errors.is_empty() => {
                Some(format!("{name} is taken, and is listed as one of {extension}: {why}"))
            }
            None if !errors.is_empty() => Some(format!("{name}: {}", errors.join("; "))),
            _ => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} modules:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

#[test]
fn parameters_lie_in_the_shader_as_on_the_host() {
    for_each_module(|made, parsed, _| {
        let bound_at_0 = |variable: &naga::GlobalVariable| {
            variable.binding.is_some_and(|binding| (binding.group, binding.binding) == (0, 0))
        };
        let Some((_, uniform)) = parsed.global_variables.iter().find(|(_, variable)| bound_at_0(variable))
        else {
            return Err("nothing at group 0, binding 0".to_owned());
        };
        if uniform.name.as_deref() != Some("parameters") || uniform.space != naga::AddressSpace::Uniform {
            return Err(format!("binding 0 is {:?} in {:?}", uniform.name, uniform.space));
        }
        let naga::TypeInner::Struct { members, span } = &parsed.types[uniform.ty].inner else {
            return Err("the parameters are no struct".to_owned());
        };
        let in_shader: Vec<_> = members
            .iter()
            .map(|member| {
                let kind = match parsed.types[member.ty].inner {
                    naga::TypeInner::Scalar(naga::Scalar::U32) => Some(FieldKind::U32),
                    naga::TypeInner::Scalar(naga::Scalar::F32) => Some(FieldKind::F32),
                    _ => None,
                };
                (member.name.clone().unwrap_or_default(), kind, member.offset as usize)
            })
            .collect();
        let on_host = made.kernel.parameters().iter();
        let on_host: Vec<_> =
            on_host.map(|field| (field.name.to_owned(), Some(field.kind), field.offset)).collect();
        if in_shader != on_host {
            return Err(format!("the shader has {in_shader:?}\nthe host {on_host:?}"));
        }
        let host_span = on_host.last().map_or(0, |(_, _, offset)| offset + 4);
        if *span as usize != host_span {
            return Err(format!("the shader's parameters span {span} bytes, the host's {host_span}"));
        }
        Ok(())
    });
}

#[test]
fn cases_carry_as_many_bytes_as_the_parameters_have() {
    for kernel in KERNELS {
        let size = kernel.parameters().last().map_or(0, |field| field.offset + 4);
        for case in kernel.cases(&kernel.variants()[0], Depth::Quick) {
            assert_eq!(case.parameters.len(), size, "{} {}", kernel.name(), case.label);
            assert_eq!(case.arguments.len(), kernel.bindings().len(), "{} {}", kernel.name(), case.label);
        }
    }
}

#[test]
fn storage_bindings_are_those_that_the_kernel_lists() {
    for_each_module(|made, parsed, _| {
        let mut in_shader = BTreeMap::new();
        let mut images = BTreeMap::new();
        for (_, variable) in parsed.global_variables.iter() {
            let Some(binding) = variable.binding else { continue };
            if binding.group != 0 {
                return Err(format!("{:?} is in group {}", variable.name, binding.group));
            }
            let access = match variable.space {
                naga::AddressSpace::Uniform if binding.binding == 0 => continue,
                naga::AddressSpace::Storage { access } if access == naga::StorageAccess::LOAD => Access::Read,
                naga::AddressSpace::Storage { access }
                    if access == naga::StorageAccess::LOAD | naga::StorageAccess::STORE =>
                {
                    Access::Write
                }
                naga::AddressSpace::Handle => {
                    let texel = texel_of(&parsed.types[variable.ty].inner)?;
                    images.insert(variable.name.clone().unwrap_or_default(), texel);
                    Access::Read
                }
                space => return Err(format!("{:?} lies in {space:?}", variable.name)),
            };
            let name = variable.name.clone().unwrap_or_default();
            if let Some((other, _)) = in_shader.insert(binding.binding, (name.clone(), access)) {
                return Err(format!("binding {} is both {other} and {name}", binding.binding));
            }
        }
        let told = made.variant.images().iter().map(|(name, texel)| ((*name).to_owned(), *texel));
        let told: BTreeMap<_, _> = told.collect();
        if images != told {
            return Err(format!("the shader reads {images:?} as images\nthe variant tells of {told:?}"));
        }
        // WGSL has one word for what is written and what is updated.
        let access = |access| if access == Access::Update { Access::Write } else { access };
        let bindings = made.kernel.bindings().iter();
        let listed = bindings.map(|binding| (binding.name.to_owned(), access(binding.access)));
        let listed: BTreeMap<u32, _> = (1..).zip(listed).collect();
        match in_shader == listed {
            true => Ok(()),
            false => Err(format!("the shader has {in_shader:?}\nthe kernel lists {listed:?}")),
        }
    });
}

/// What a texel holds of an image that a shader reads.
fn texel_of(inner: &naga::TypeInner) -> Result<Texel, String> {
    match *inner {
        naga::TypeInner::Image {
            dim: naga::ImageDimension::D2,
            arrayed: false,
            class: naga::ImageClass::Storage { format, access },
        } if access == naga::StorageAccess::LOAD => match format {
            naga::StorageFormat::Rgba32Float => Ok(Texel::F32x4),
            naga::StorageFormat::Rg32Uint => Ok(Texel::U32x2),
            other => Err(format!("no image is kept as {other:?}")),
        },
        ref other => Err(format!("{other:?} is no image of ours")),
    }
}

#[test]
fn modules_keep_within_the_limits_of_every_adapter() {
    for_each_module(|made, parsed, info| {
        let stages: Vec<_> = parsed.entry_points.iter().map(|entry| (entry.stage, &*entry.name)).collect();
        if stages != [(COMPUTE, "main")] {
            return Err(format!("its entry points are {stages:?}"));
        }
        // Where a pipeline sets sizes by `override`, its defaults are judged.
        let constants = Default::default();
        let (resolved, _) = naga::back::pipeline_constants::process_overrides(
            parsed,
            info,
            Some((COMPUTE, "main")),
            &constants,
        )
        .map_err(|error| error.to_string())?;
        let size = resolved.entry_points[0].workgroup_size;
        let invocations: u32 = size.iter().product();
        if !(1..=256).contains(&invocations) || size[2] > 64 {
            return Err(format!("its workgroup is {size:?}: 1 to 256 invocations are allowed"));
        }
        if invocations != made.variant.u32("WORKGROUP") {
            return Err(format!(
                "its workgroup is {size:?}, and its variant says {}",
                made.variant.u32("WORKGROUP")
            ));
        }
        // As WebGPU counts it: each variable rounded up to 16 bytes. OpenGL drivers keep 32 bytes of the 16 KiB.
        let memory: u32 = resolved
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
            .map(|(_, variable)| {
                resolved.types[variable.ty].inner.size(resolved.to_ctx()).next_multiple_of(16)
            })
            .sum();
        // Only what needs cooperative matrices may say that it takes more: up to the 48 KiB of NVIDIA's cards, or, with sides
        // of 8, the 32 KiB of Apple's.
        let most = match (made.needs("wgpu_cooperative_matrix"), made.variant.get("SIDE")) {
            (true, Some(Constant::U32(16))) => 49152,
            (true, _) => 32768,
            (false, _) => 16352,
        };
        let told = made.variant.workgroup_bytes();
        if memory > told || told > most {
            return Err(format!(
                "it takes {memory} bytes of workgroup memory and tells of {told}, {most} are allowed"
            ));
        }
        match made.kernel.bindings().len() {
            0..=8 => Ok(()),
            count => Err(format!("it binds {count} storage buffers, 8 are allowed")),
        }
    });
}

fn root() -> PathBuf {
    crate::common::repository().to_owned()
}

/// The `.wgsl` files below `shaders/`, as `family/stem` or `shared/room/stem`.
fn shader_files() -> Vec<String> {
    fn collect(folder: &Path, prefix: &str, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            if path.is_dir() {
                collect(&path, &format!("{prefix}{stem}/"), names);
            } else {
                assert_eq!(path.extension().and_then(|end| end.to_str()), Some("wgsl"), "{}", path.display());
                names.push(format!("{prefix}{stem}"));
            }
        }
    }
    let mut names = Vec::new();
    collect(&root().join("shaders"), "", &mut names);
    names.sort();
    names
}

/// A text file with the line ends of the checkout taken away.
fn text_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace("\r\n", "\n")
}

#[test]
fn every_shader_file_belongs_to_one_kernel_of_its_name() {
    let mut kernels: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name()).collect();
    kernels.sort_unstable();
    let files = shader_files();
    let own: Vec<&str> =
        files.iter().map(String::as_str).filter(|name| !name.starts_with("shared/")).collect();
    // Both sorted: equal only if each file has one kernel and each kernel one file.
    assert_eq!(own, kernels, "shaders/ (left) and KERNELS (right)");
    for kernel in KERNELS {
        let name = kernel.name();
        let file = text_of(&root().join(format!("shaders/{name}.wgsl")));
        assert!(file == kernel.source().replace("\r\n", "\n"), "{name}: the source is another file's");
        let rust = text_of(&root().join(format!("src/kernels/{name}.rs")));
        assert!(
            rust.contains(&format!("\"{name}\"")),
            "src/kernels/{name}.rs does not hold the kernel of that name"
        );
    }
}

#[test]
fn every_shared_file_is_used() {
    let mut used = BTreeSet::new();
    for kernel in KERNELS {
        for variant in kernel.variants() {
            let mut once = BTreeSet::new();
            for name in imports(*kernel, &variant).unwrap() {
                assert!(once.insert(name), "{} {variant} has {name} twice", kernel.name());
                used.insert(format!("shared/{name}"));
            }
        }
    }
    let files: Vec<String> = shader_files().into_iter().filter(|name| name.starts_with("shared/")).collect();
    assert_eq!(files, used.into_iter().collect::<Vec<_>>());
}

/// The words of a file's code, without its comments and imports.
fn words(name: &str) -> BTreeSet<String> {
    let text = text_of(&root().join(format!("shaders/{name}.wgsl")));
    let code = text.lines().filter(|line| !line.starts_with("#import "));
    let code = code.filter_map(|line| line.split("//").next()).collect::<Vec<_>>().join("\n");
    let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn imported_by(name: &str) -> Vec<String> {
    let text = text_of(&root().join(format!("shaders/{name}.wgsl")));
    let names = text.lines().filter_map(|line| line.strip_prefix("#import ")?.split(' ').next());
    names.map(|name| format!("shared/{name}")).collect()
}

/// What a file declares, and for a file of imports alone what they declare.
fn declared_by(name: &str) -> BTreeSet<String> {
    if words(name).is_empty() {
        return imported_by(name).iter().flat_map(|import| declared_by(import)).collect();
    }
    let text = text_of(&root().join(format!("shaders/{name}.wgsl")));
    let names = text.lines().filter_map(|line| {
        let (kind, rest) = line.split_once(' ')?;
        let is_declared = ["fn", "struct", "alias", "const"].contains(&kind) || kind.starts_with("var<");
        is_declared.then(|| rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next())?
    });
    let bindings = text.lines().filter(|line| line.starts_with("@group"));
    let bindings = bindings.filter_map(|line| line.split_once("> ")?.1.split(':').next());
    names.chain(bindings).map(str::to_owned).collect()
}

/// That a module has what it names, naga tells; this tells of what nobody names.
#[test]
fn every_import_is_needed() {
    for name in shader_files() {
        let words = words(&name);
        for import in imported_by(&name).iter().filter(|_| !words.is_empty()) {
            let declared = declared_by(import);
            assert!(!declared.is_disjoint(&words), "{name} uses none of {import}: {declared:?}");
        }
    }
}

#[test]
fn names_are_unique() {
    let mut kernels = BTreeSet::new();
    for kernel in KERNELS {
        assert!(kernels.insert(kernel.name()), "{} is registered twice", kernel.name());
        let mut variants = BTreeSet::new();
        for variant in kernel.variants() {
            let name = variant.to_string();
            assert!(variants.insert(name.clone()), "{} has two variants `{name}`", kernel.name());
        }
        let mut bindings = BTreeSet::new();
        for binding in kernel.bindings() {
            assert!(bindings.insert(binding.name), "{} binds `{}` twice", kernel.name(), binding.name);
        }
    }
}
