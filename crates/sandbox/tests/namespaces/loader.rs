//! The loader that nobody can read.

use super::*;

/// What root does first, in a mount namespace of the test's own: an installation of the loader alone.
const INSTALL: &str = "set -e; mount -t tmpfs -o mode=755 t /usr/local/lib; cd /usr/local/lib; mkdir envseal; \
     cp -p \"$(readlink -f \"$LOADER\")\" envseal/ld.so; chmod 0711 envseal/ld.so; \"$CHANGE\"; \
     exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all -- \"$@\"";

/// Runs the rest of the test as an ordinary user where the loader is installed; true when that was done,
/// or cannot be.
fn ran(name: &str, change: &str) -> bool {
    if std::env::var_os("LOADER").is_some() {
        return false;
    }
    let loader = "/lib64/ld-linux-x86-64.so.2";
    if !rustix::process::geteuid().is_root() || !Path::new(loader).exists() {
        return true;
    }
    let script = INSTALL.replace("\"$CHANGE\"", change);
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", name, "--nocapture"])
        .env("LOADER", loader)
        .env("HOME", "/tmp")
        .stdin(Std::null())
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "with a loader: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

fn is_read(pid: u32) -> bool {
    let open =
        ["environ", "mem", "maps"].into_iter().any(|file| File::open(format!("/proc/{pid}/{file}")).is_ok());
    let traced = Command::new("nsenter").args(["-U", "-m", "-t", &pid.to_string(), "true"]).output();
    open || traced.expect("nsenter").status.success()
}

#[test]
fn a_dynamic_program_with_an_execute_only_loader_is_closed_to_the_same_user() {
    if ran("loader::a_dynamic_program_with_an_execute_only_loader_is_closed_to_the_same_user", ":") {
        return;
    }
    let spec = || locked(shell("read line; echo $line")).env("SECRET", "canary");
    let (running, mut input, mut out) = waiting(spec());
    // A kernel that lets the user into the namespaces gives nothing, and that is told.
    match given(&running, Guarantee::L6) {
        Given::No(why) => assert!(why.contains("lets the user into"), "{why}"),
        given => assert_eq!(given, Given::Yes),
    }
    assert!(!is_read(running.pid()), "before and after its execution nothing is read in /proc");
    assert_eq!(told(&mut input, &mut out), "go\n");

    let (running, _input, _out) = waiting(shell("read line").tier(Tier::Hardened).engine(Engine::Namespaces));
    assert!(is_read(running.pid()), "works without the loader");
    let spec = locked(Spec::new(image("/sbin/ldconfig")).arg("-V"));
    let running = start(spec.stdout(Stdio::Null)).expect("a start");
    assert!(matches!(given(&running, Guarantee::L6), Given::No(why) if why.contains("statically")));
}

#[test]
fn a_loader_that_is_not_the_systems_is_not_used() {
    if ran("loader::a_loader_that_is_not_the_systems_is_not_used", "touch -d 2001-01-01 envseal/ld.so") {
        return;
    }
    let running = start(lockdown(":")).expect("a start");
    assert!(
        matches!(given(&running, Guarantee::L6), Given::No(why) if why.contains("no execute-only loader"))
    );
}
