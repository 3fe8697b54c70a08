//! Finding and opening files on Windows.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use envseal_vault::OsText;

use super::leads::{Leads, values};
use super::{IdentityError, Search};

/// Others may open it to read, and for nothing else (CreateFileW).
const SHARE_READ: u32 = 1;

/// The extensions that a name may be without when the caller's `PATHEXT` says nothing.
const EXTENSIONS: &str = ".COM;.EXE;.BAT;.CMD";

/// Whether a program's name is a path, and is not searched for: it has a separator or a drive.
pub fn is_path(program: &OsStr) -> bool {
    program.as_encoded_bytes().iter().any(|byte| matches!(byte, b'/' | b'\\' | b':'))
}

/// A path, relative to the caller's directory or not. `C:x` is relative to the directory that this process has on
/// that drive.
pub fn absolute(path: &OsStr, cwd: &Path) -> PathBuf {
    let path = Path::new(path);
    let has_drive = matches!(path.components().next(), Some(Component::Prefix(_)));
    match has_drive && !path.has_root() {
        true => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        false => cwd.join(path),
    }
}

/// The program at a path, whose extension may be left out.
pub fn at(path: &Path, search: Search<'_>) -> Option<PathBuf> {
    let found = path.parent().zip(path.file_name()).and_then(|(parent, name)| within(parent, name, search));
    // What is no file is said to be none when it is opened.
    found.or_else(|| path.is_dir().then(|| path.to_owned()))
}

/// The program of this name in a directory: the first that `cmd.exe` would find, be it one that cannot be executed
/// safely, which is said when it is opened.
pub fn within(directory: &Path, name: &OsStr, search: Search<'_>) -> Option<PathBuf> {
    let extensions = search.extensions.to_str().filter(|text| !text.is_empty()).unwrap_or(EXTENSIONS);
    let extensions: Vec<_> = extensions.split(';').filter(|one| is_extension(one)).collect();
    let whole = |known: &&str| {
        let (name, known) = (name.as_encoded_bytes(), known.as_bytes());
        name.len() > known.len() && name[name.len() - known.len()..].eq_ignore_ascii_case(known)
    };
    let with = |extension: &&str| {
        let mut name = OsString::from(name);
        name.push(extension);
        directory.join(name)
    };
    let as_it_is = directory.join(name);
    let mut candidates: Vec<_> = extensions.iter().map(with).collect();
    let place = if extensions.iter().any(whole) { 0 } else { candidates.len() };
    candidates.insert(place, as_it_is);
    // An alias of the Store is no file that can be followed, and is found all the same.
    let is_there = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir());
    candidates.into_iter().find(is_there)
}

fn is_extension(text: &str) -> bool {
    text.len() > 1 && text.starts_with('.') && !text.contains(['/', '\\', ':'])
}

/// The path that a program is called by: its directory canonical, its name as it was found, in the case that the
/// file has it.
pub fn called(found: &Path) -> OsText {
    let directory = found.parent().and_then(|parent| dunce::canonicalize(parent).ok());
    let (Some(directory), Some(name)) = (directory, found.file_name()) else { return OsText::from(found) };
    let canonical = dunce::canonicalize(found).ok();
    let own = canonical.as_deref().and_then(Path::file_name).filter(|own| own.eq_ignore_ascii_case(name));
    OsText::from(directory.join(own.unwrap_or(name)))
}

/// The path by which a script is given to its interpreter: the canonical one, since only that can be held.
pub fn script_as(path: &Path) -> OsText {
    OsText::from(dunce::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

/// The directories in which an interpreter looks for its settings: that of its file, which is how it knows itself.
pub fn directories_of(_: &Path, image: &Path) -> Vec<PathBuf> {
    image.parent().map(Path::to_owned).into_iter().collect()
}

/// The interpreter of an environment is a launcher: it starts another in the directory that the settings call its home,
/// by the name with which the launcher was compiled, whatever it is called itself.
pub fn follow(leads: &mut Leads, settings: &str, name: &OsStr) -> Result<(), IdentityError> {
    for home in homes(settings) {
        if !home.is_absolute() {
            // Where that leads depends on the directory it is started in.
            leads.unclear = true;
            continue;
        }
        for name in [name, OsStr::new("python.exe"), OsStr::new("pythonw.exe")] {
            leads.take_program(&home.join(name))?;
        }
        beside(leads, home)?;
    }
    Ok(())
}

/// Every value of what may be read as the setting `home`: CPython's launcher takes the word wherever it stands first, in
/// a remark too (`find_home_value` of PC/venvlauncher.c).
fn homes(settings: &str) -> impl Iterator<Item = &Path> {
    settings.match_indices("home").filter_map(|(at, word)| {
        let value = settings[at + word.len()..].trim_start().strip_prefix('=')?;
        Some(Path::new(value.trim_start().lines().next().unwrap_or_default().trim().trim_matches('"')))
    })
}

/// `python._pth`, `python311._pth`: where Python then finds its modules, and nowhere else.
pub fn beside(leads: &mut Leads, directory: &Path) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::Lead { path: directory.to_owned(), source };
    let entries = match directory.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("_pth")) {
            leads.take_program(&path)?;
        }
    }
    Ok(())
}

/// A shim of Scoop: `tool.exe` starts what `tool.shim` beside it says.
pub fn shim(leads: &mut Leads, image: &Path) -> Result<bool, IdentityError> {
    let Some(text) = leads.take(&image.with_extension("shim"))? else { return Ok(false) };
    for path in values(&text, "path").map(Path::new).filter(|path| path.is_absolute()) {
        leads.take_program(path)?;
    }
    Ok(true)
}

/// Opens a file to be hashed. While it is open nobody can write, rename or remove it.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).share_mode(SHARE_READ).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::{Identity, IdentityError, hash_file};
    use super::*;

    fn resolve(program: &str, args: &[&str], path: &str, cwd: &Path) -> Result<Identity, IdentityError> {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let search = Search { path: OsStr::new(path), extensions: OsStr::new(".COM;.EXE;.BAT;.CMD;.PY") };
        Identity::resolve(OsStr::new(program), &args, search, cwd)
    }

    /// A directory with a program under these names.
    fn programs(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = dunce::canonicalize(dir.path()).unwrap();
        for name in names {
            std::fs::copy("C:\\windows\\system32\\hostname.exe", top.join(name)).unwrap();
        }
        (dir, top)
    }

    #[test]
    fn a_name_is_found_with_its_extension_and_in_its_own_case() {
        let (_dir, top) = programs(&["Tool.exe", "with.dots.exe"]);
        let path = top.to_str().unwrap();
        for name in ["tool", "TOOL.EXE", "Tool.exe"] {
            let identity = resolve(name, &["a"], path, Path::new("C:\\")).unwrap();
            assert_eq!(identity.image.path(), top.join("Tool.exe"), "{name}");
            assert_eq!(identity.called, OsText::from(top.join("Tool.exe")), "{name}");
        }
        let by_path = [".\\tool", "./tool.exe", path_of(&top, "tool").as_str()].map(str::to_owned);
        for name in by_path {
            assert_eq!(resolve(&name, &[], "", &top).unwrap().image.path(), top.join("Tool.exe"), "{name}");
        }
        assert_eq!(resolve("with.dots", &[], path, &top).unwrap().image.path(), top.join("with.dots.exe"));
    }

    fn path_of(top: &Path, name: &str) -> String {
        top.join(name).into_os_string().into_string().unwrap()
    }

    #[test]
    fn the_current_directory_and_relative_entries_are_not_searched() {
        let (_dir, top) = programs(&["tool.exe"]);
        for path in ["", ".", ";", "..", "\\", "tool"] {
            let error = resolve("tool", &[], path, &top).unwrap_err();
            assert!(matches!(error, IdentityError::NotFound { .. }), "{path}: {error}");
        }
    }

    #[test]
    fn a_batch_file_that_comes_first_is_refused_and_not_passed_over() {
        let (_first, first) = programs(&[]);
        let (_second, second) = programs(&["tool.exe"]);
        std::fs::write(first.join("tool.cmd"), "@echo off").unwrap();
        let path = std::env::join_paths([&first, &second]).unwrap();
        let error = resolve("tool", &[], path.to_str().unwrap(), &second).unwrap_err();
        assert!(
            matches!(error, IdentityError::Image(_)) && error.to_string().contains("tool.cmd"),
            "{error}"
        );
        // In one directory a shell prefers the program.
        std::fs::copy(second.join("tool.exe"), first.join("tool.exe")).unwrap();
        assert!(resolve("tool", &[], path.to_str().unwrap(), &second).is_ok());
    }

    #[test]
    fn a_script_is_known_by_its_canonical_path_and_bytes() {
        let (_dir, top) = programs(&["Python3.exe"]);
        std::fs::write(top.join("x.py"), "print(1)").unwrap();
        let identity =
            resolve("python3", &["-u", "sub\\..\\X.PY", "a"], top.to_str().unwrap(), &top).unwrap();
        let script = identity.script.unwrap();
        assert_eq!((&script.path, script.sha256), (&top.join("x.py"), hash_file(&top.join("x.py")).unwrap()));
        assert_eq!(identity.argv, ["-u".into(), top.join("x.py").into_os_string(), "a".into()]);
        assert!(!identity.arbitrary);
        assert!(resolve("python3", &["-c", "x"], top.to_str().unwrap(), &top).unwrap().arbitrary);
    }

    fn led_by(identity: &Identity) -> Vec<&Path> {
        identity.leads.iter().map(|lead| lead.path.as_path()).collect()
    }

    #[test]
    fn the_settings_of_a_python_environment_and_its_home_belong_to_what_runs() {
        let (_base, base) = programs(&["python.exe", "tool.exe"]);
        let (_dir, top) = programs(&[]);
        let scripts = top.join("venv").join("Scripts");
        std::fs::create_dir_all(&scripts).unwrap();
        std::fs::copy(base.join("python.exe"), scripts.join("python.exe")).unwrap();
        std::fs::write(top.join("x.py"), "print(1)").unwrap();
        let settings = top.join("venv").join("pyvenv.cfg");
        std::fs::write(&settings, format!("home = {}\r\n", base.display())).unwrap();
        let run = || resolve(".\\venv\\Scripts\\python", &["x.py"], "", &top).unwrap();
        let mut expected = vec![base.join("python.exe"), settings.clone()];
        expected.sort();
        assert_eq!(led_by(&run()), expected);
        assert!(!run().arbitrary);
        // What appears beside the one or the other leads it too.
        let mut identity = run();
        std::fs::write(base.join("python311._pth"), "..").unwrap();
        std::fs::write(scripts.join("pyvenv.cfg"), "home = C:\\nowhere").unwrap();
        identity.rehash().unwrap();
        expected.extend([base.join("python311._pth"), scripts.join("pyvenv.cfg")]);
        expected.sort();
        assert_eq!(led_by(&identity), expected);
        assert!(resolve(path_of(&base, "tool.exe").as_str(), &[], "", &top).unwrap().leads.is_empty());
        // The launcher starts the name that it was compiled with, from the first home that it finds in the text.
        drop(identity);
        std::fs::remove_file(scripts.join("pyvenv.cfg")).unwrap();
        std::fs::rename(scripts.join("python.exe"), scripts.join("python3.exe")).unwrap();
        std::fs::write(&settings, format!("# home = {}\nhome = C:\\nowhere\n", base.display())).unwrap();
        let by_another_name = resolve(".\\venv\\Scripts\\python3", &["x.py"], "", &top).unwrap();
        assert!(led_by(&by_another_name).contains(&base.join("python.exe").as_path()), "{by_another_name:?}");
        assert!(!by_another_name.arbitrary);
        std::fs::write(&settings, "home = base").unwrap();
        assert!(resolve(".\\venv\\Scripts\\python3", &["x.py"], "", &top).unwrap().arbitrary);
    }

    #[test]
    fn a_shim_is_arbitrary_code_and_led_by_its_file_and_the_program_in_it() {
        let (_dir, top) = programs(&["tool.exe", "real.exe", "other.exe"]);
        let shim = format!("path = \"{}\"\r\nargs = --x\r\n", top.join("real.exe").display());
        std::fs::write(top.join("tool.shim"), shim).unwrap();
        let identity = resolve("tool", &[], top.to_str().unwrap(), &top).unwrap();
        assert_eq!(led_by(&identity), [top.join("real.exe"), top.join("tool.shim")]);
        assert!(identity.arbitrary);
        let mut other = resolve("other", &[], top.to_str().unwrap(), &top).unwrap();
        assert!(other.leads.is_empty() && !other.arbitrary);
        std::fs::write(top.join("other.shim"), "path = relative.exe").unwrap();
        other.rehash().unwrap();
        assert!(led_by(&other) == [top.join("other.shim")] && other.arbitrary);
    }

    #[test]
    fn bash_of_the_system_is_arbitrary_code() {
        // Wine has none: the name and the place are what counts.
        let system = envseal_sandbox::paths::windows().unwrap().join("System32");
        for (path, is) in [
            (system.join("bash.exe"), true),
            (system.join("BASH.EXE"), true),
            (PathBuf::from("C:\\Program Files\\Git\\bin\\bash.exe"), false),
            (system.join("hostname.exe"), false),
        ] {
            assert_eq!(crate::interpreter::is_systems(&path), is, "{}", path.display());
        }
    }

    #[test]
    fn a_file_that_is_being_hashed_cannot_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "x").unwrap();
        let file = open(&path).unwrap();
        assert!(std::fs::write(&path, "y").is_err() && std::fs::remove_file(&path).is_err());
        assert!(std::fs::rename(&path, dir.path().join("y")).is_err());
        drop(file);
        std::fs::write(&path, "y").unwrap();
    }

    #[test]
    fn a_change_during_an_approval_changes_the_digest() {
        let (_dir, top) = programs(&["python.exe"]);
        let script = top.join("x.py");
        std::fs::write(&script, "one").unwrap();
        let mut identity = resolve("python", &["x.py"], top.to_str().unwrap(), &top).unwrap();
        let before = identity.script.clone().unwrap();
        std::fs::write(&script, "two").unwrap();
        identity.rehash().unwrap();
        assert_ne!(identity.script.unwrap().sha256, before.sha256);
    }
}
