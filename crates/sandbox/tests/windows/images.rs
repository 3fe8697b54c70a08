//! A program is opened once, and is what was hashed.

use std::fs::{self, OpenOptions};
use std::os::windows::fs::OpenOptionsExt;
use std::path::PathBuf;

use envseal_sandbox::{Exit, Given, Guarantee, Image, ImageError, Spec, Tier, start};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{example, is_wine, output, probe};

fn copied(place: &TempDir, name: &str) -> PathBuf {
    let path = place.path().join(name);
    fs::copy(example("probe"), &path).expect("copied");
    // What Wine lacks of Windows lies beside the programs that need it.
    let fixture = example("probe").with_file_name("bcryptprimitives.dll");
    if fixture.is_file() {
        fs::copy(fixture, place.path().join("bcryptprimitives.dll")).expect("copied");
    }
    path
}

#[test]
fn an_image_is_hashed_and_found_by_its_canonical_path() {
    let place = TempDir::new().expect("a directory");
    let path = copied(&place, "Prögram one.exe");
    let odd = place.path().join("x").join("..").join("PRÖGRAM ONE.EXE");
    fs::create_dir(place.path().join("x")).expect("a directory");
    let mut image = Image::open(&odd).expect("an image");
    let canonical = path.canonicalize().expect("there");
    assert_eq!(image.path().canonicalize().expect("there"), canonical);
    assert!(image.path().ends_with("Prögram one.exe"), "{}", image.path().display());
    assert!(!image.path().to_string_lossy().starts_with(r"\\?\"), "{}", image.path().display());
    let expected: [u8; 32] = Sha256::digest(fs::read(&path).expect("read")).into();
    assert_eq!(image.sha256(), expected);
    assert_eq!(image.rehash().expect("hashed"), expected);
    assert_eq!((image.guarded(), image.shebang()), (Given::Yes, None));
    assert_eq!(output(Spec::new(image).args(["exit", "4"])).0, Exit::Code(4));
}

#[test]
fn nobody_changes_an_image_that_is_open() {
    let place = TempDir::new().expect("a directory");
    let above = place.path().join("above");
    fs::create_dir(&above).expect("a directory");
    let path = above.join("program.exe");
    fs::copy(example("probe"), &path).expect("copied");
    let image = Image::open(&path).expect("an image");
    let denied = |what: &str, answer: std::io::Result<()>| {
        let code = answer.expect_err(what).raw_os_error();
        assert!(matches!(code, Some(5 | 32)), "{what}: {code:?}");
    };
    denied("write", OpenOptions::new().write(true).share_mode(7).open(&path).map(drop));
    denied("delete", fs::remove_file(&path));
    denied("rename", fs::rename(&path, above.join("other.exe")));
    denied("replace", fs::copy(example("probe"), &path).map(drop));
    // A directory above, too; Wine renames it, as Linux does.
    let beside = place.path().join("beside");
    let renamed = fs::rename(&above, &beside);
    assert_eq!(renamed.is_ok(), is_wine(), "{renamed:?}");
    if renamed.is_ok() {
        fs::rename(&beside, &above).expect("renamed back");
    }
    // Reading is shared.
    assert!(fs::read(&path).is_ok());
    drop(image);
    fs::rename(&path, above.join("other.exe")).expect("renamed once nobody has it open");
}

#[test]
fn an_image_that_somebody_writes_to_is_not_opened() {
    let place = TempDir::new().expect("a directory");
    let path = copied(&place, "program.exe");
    let writer = OpenOptions::new().write(true).share_mode(7).open(&path).expect("a writer");
    assert!(matches!(Image::open(&path), Err(ImageError::Busy { .. })));
    drop(writer);
    Image::open(&path).expect("an image");
}

/// A mapping outlives the handle that it was made with, and is no opening: the file system knows of it.
#[test]
fn an_image_that_somebody_has_mapped_writable_is_not_opened() {
    use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
    use windows_sys::Win32::System::Memory::{CreateFileMappingW, PAGE_READWRITE};
    let place = TempDir::new().expect("a directory");
    let path = copied(&place, "program.exe");
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("a writer");
    // SAFETY: the handle is open; no attributes, the whole file, no name.
    let mapping = unsafe {
        CreateFileMappingW(file.as_raw_handle(), std::ptr::null(), PAGE_READWRITE, 0, 0, std::ptr::null())
    };
    assert!(!mapping.is_null());
    // SAFETY: the call gave a new handle.
    let mapping = unsafe { OwnedHandle::from_raw_handle(mapping) };
    drop(file);
    assert!(matches!(Image::open(&path), Err(ImageError::Busy { .. })));
    drop(mapping);
    Image::open(&path).expect("an image");
}

#[test]
fn what_is_no_program_is_refused_with_a_shells_status() {
    let place = TempDir::new().expect("a directory");
    let refused = |path: PathBuf| {
        let error = Image::open(&path).expect_err("refused");
        (error.shell_status(), error)
    };
    assert!(matches!(refused(place.path().join("missing.exe")), (127, ImageError::NotFound { .. })));
    assert!(matches!(refused(place.path().join("no").join("way.exe")), (127, ImageError::NotFound { .. })));
    assert!(matches!(refused(place.path().into()), (126, ImageError::NotAFile { kind: "directory", .. })));
    let text = place.path().join("text.exe");
    fs::write(&text, "#!/bin/sh\n").expect("written");
    assert!(matches!(refused(text), (126, ImageError::NotExecutable { .. })));
    for name in ["run.bat", "run.CMD", "run.bat. .", "run.cmd "] {
        let path = place.path().join(name);
        fs::copy(example("probe"), place.path().join(name.trim_end_matches([' ', '.']))).expect("copied");
        let (status, error) = refused(path);
        assert!(matches!(error, ImageError::Batch { .. } | ImageError::NotFound { .. }), "{name}: {error}");
        assert!(matches!((status, &error), (126, ImageError::Batch { .. }) | (127, _)));
    }
    assert!(matches!(refused(place.path().join("run.bat")), (126, ImageError::Batch { .. })));
    for name in [r"\\.\pipe\envseal-nobody", r"\\.\NUL", "NUL"] {
        let (status, _) = refused(name.into());
        assert!(matches!(status, 126 | 127), "{name}");
    }
    let library =
        PathBuf::from(std::env::var("SystemRoot").expect("set")).join("system32").join("kernel32.dll");
    assert!(matches!(refused(library), (126, ImageError::NotExecutable { .. })));
}

#[test]
fn the_bytes_that_run_are_told_apart_from_what_lies_beside_them() {
    let running = start(probe(Tier::None, ["sleep"])).expect("a start");
    let found =
        running.enforced().iter().find(|(name, _)| *name == Guarantee::N6).map(|(_, given)| given.clone());
    // The directory of the probe is one that this user writes to.
    assert!(matches!(found, Some(Given::Guarded(why)) if why.contains("libraries")));
}
