//! The launcher installed for real while tests run, and taken out with the last of them: test programs that
//! run at the same time share what is installed.

use std::fs::File;
use std::path::Path;

use envseal_sandbox::launch::{self, Launcher};

/// Whoever tests what is installed holds it for reading, those of `envseal install` for writing.
const LOCK: &str = "/tmp/envseal-install-test.lock";
/// There while what is installed is the tests' own.
const OURS: &str = "/usr/local/lib/envseal/.tests";

/// Held, the launcher is installed.
pub struct Installed(File);

impl Installed {
    /// `source`: the launcher to install. Only root can.
    pub fn new(source: &Path) -> Installed {
        let gate = gate();
        let lock = File::create(LOCK).expect("a lock");
        // Where tests of installing have the system to themselves, this waits until they are done.
        lock.lock_shared().expect("locked");
        match Launcher::installed().expect("a sound installation, or none") {
            None => {
                launch::install(source, |_| {}).expect("installed");
                std::fs::write(OURS, "").expect("a mark");
            }
            Some(_) if Path::new(OURS).exists() => {}
            Some(_) => println!("what is installed already is tested"),
        }
        drop(gate);
        Installed(lock)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _gate = gate();
        self.0.unlock().expect("unlocked");
        if self.0.try_lock().is_ok() && Path::new(OURS).exists() {
            let _ = std::fs::remove_file(OURS);
            let undone = launch::uninstall(|_| {});
            // A second failure while the first one goes its way would hide it.
            assert!(undone.is_ok() || std::thread::panicking(), "{undone:?}");
        }
    }
}

/// One at a time comes and goes.
fn gate() -> File {
    let gate = File::create(format!("{LOCK}.gate")).expect("a lock");
    gate.lock().expect("locked");
    gate
}
