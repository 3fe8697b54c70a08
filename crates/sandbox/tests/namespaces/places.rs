//! What a program sees of files, devices and sockets in `Hardened`.

use super::*;

#[test]
fn a_hidden_directory_is_empty_and_what_is_beside_it_can_be_used_and_made() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let at = |name: &str| room.path().join(name);
    fs::create_dir_all(at("hidden/deep")).expect("a directory");
    fs::write(at("hidden/vault"), "sealed").expect("a file");
    fs::write(at("beside"), "beside\n").expect("a file");
    let script = format!(
        "cd {0}; cat beside; ls -A hidden; cat hidden/vault; echo x >hidden/new || echo refused; echo y >new; cat new; \
         mv hidden other || echo stays; ls",
        room.path().display()
    );
    assert_eq!(
        says(hardened(&script).hide(at("hidden"))),
        "beside\nrefused\ny\nstays\nbeside\nhidden\nnew\n"
    );
    // From within too.
    let spec = hardened("ls -A; cat vault deep; cat ../beside").directory(at("hidden")).hide(at("hidden"));
    assert_eq!(says(spec), "beside\n");
    assert_eq!(fs::read_dir(at("hidden")).expect("a directory").count(), 2);
}

#[test]
fn a_hidden_file_stays_closed_when_another_takes_its_place_and_so_does_what_was_not_there() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let at = |name: &str| room.path().join(name);
    fs::write(at("file"), "old").expect("a file");
    let spec = hardened(&format!(
        "cat {0}/file {0}/later/vault; read line; cat {0}/file {0}/later/vault",
        room.path().display()
    ));
    let (_running, mut input, mut out) = waiting(spec.hide(at("file")).hide(at("later")).stderr(Stdio::Null));
    fs::write(at("next"), "new").expect("a file");
    fs::rename(at("next"), at("file")).expect("replaced");
    fs::create_dir(at("later")).expect("a directory");
    fs::write(at("later/vault"), "sealed").expect("a file");
    assert_eq!(told(&mut input, &mut out), "");
}

#[test]
fn sockets_of_services_are_covered_and_names_are_still_resolved() {
    as_ordinary_user!();
    let text = says(hardened(
        "ls -A /run/user /run/dbus /tmp/.X11-unix 2>/dev/null | grep -v : | grep .; cat /etc/resolv.conf | wc -c",
    ));
    let outside = fs::metadata("/etc/resolv.conf").map_or(0, |of| of.len());
    assert_eq!(text, format!("{outside}\n"));
}

#[test]
fn devices_are_few_and_terminals_its_own() {
    as_ordinary_user!();
    let text = says(hardened(
        "cd /dev; echo *; ls pts; echo gone >/dev/null; head -c2 zero | od -An -c; echo x >shm/y; cat shm/y; echo in | cat /dev/stdin /dev/fd/0",
    ));
    assert_eq!(
        text,
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\nptmx\n  \\0  \\0\nx\nin\n"
    );
    assert!(!Path::new("/dev/shm/y").exists());
    let text = says(hardened("script -qec 'tty; echo inside' /dev/null </dev/null"));
    assert!(text.contains("/dev/pts/0") && text.contains("inside"), "{text}");
}

#[test]
fn settings_of_the_kernel_cannot_be_written() {
    as_ordinary_user!();
    let files = ["/proc/sys/kernel/hostname", "/proc/sys/user/max_user_namespaces", "/sys/fs/cgroup/x"];
    for file in files {
        assert_eq!(says(hardened(&format!("echo 1 >{file} && echo written"))), "", "{file}");
    }
    assert!(says(hardened("grep ' /sys ' /proc/self/mountinfo")).contains(" ro,"));
}

#[test]
fn the_network_is_reached_in_hardened_and_there_is_none_in_lockdown() {
    as_ordinary_user!();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected");
    let bash = |script: &str| Spec::new(image("/bin/bash")).args(["-c", script]);
    let spec = bash(&script).tier(Tier::Hardened).engine(Engine::Namespaces);
    assert_eq!(says(spec), "connected\n");
    assert_eq!(says(locked(bash(&script))), "");
    let interfaces = says(locked(Spec::new(image("/bin/cat")).arg("/proc/net/dev")));
    assert!(interfaces.contains("lo:") && interfaces.lines().count() == 3, "{interfaces}");
}

#[test]
fn listeners_of_the_tree_are_reached_and_those_of_the_user_outside_are_not() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let outside = room.path().join("agent");
    let _agent = UnixListener::bind(&outside).expect("a listener");
    let perl = "use IO::Socket::UNIX; my ($own, $agent) = @ARGV; my $l = IO::Socket::UNIX->new(Local => $own, Listen => 1); \
         if (!fork) { my $s = IO::Socket::UNIX->new(Peer => $own); print $s 'own'; exit } \
         while (my $c = $l->accept) { my $t = <$c>; next unless defined $t; print \"$t\\n\"; last } wait; print IO::Socket::UNIX->new(Peer => $agent) ? 'agent' : 'refused', \"\\n\"";
    let spec =
        Spec::new(image("/usr/bin/perl")).args(["-e", perl]).arg(room.path().join("own")).arg(&outside);
    let spec = spec.tier(Tier::Hardened).engine(Engine::Namespaces);
    assert_eq!(says(spec), "own\nrefused\n");
    let spec =
        Spec::new(image("/usr/bin/perl")).args(["-e", perl]).arg(room.path().join("own2")).arg(&outside);
    let spec = spec.tier(Tier::Hardened).engine(Engine::Namespaces).socket(&outside);
    assert_eq!(says(spec), "own\nagent\n");
}
