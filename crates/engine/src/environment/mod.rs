//! What passes from the caller's environment, and which variables may carry a secret.
//!
//! A program starts with an empty environment. A small allow-list passes; a variable that makes a loader, an
//! interpreter or a well-known tool run other code never does, not even by name.

use std::ffi::{OsStr, OsString};

use envseal_vault::Variable;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub use system::{FIXED, HOME, TEMPORARY, key, same};

/// Variables that pass without being named, on every system.
const PASSED: &[&str] = &["PATH", "LANG", "TERM", "TZ"];

/// Variables through which whoever sets them runs code in the program, or redirects what it loads or logs.
const INJECTING: &[&str] = &[
    // Shells (POSIX sh, bash, zsh, ksh).
    "BASH_ENV",
    "BASHOPTS",
    "ENV",
    "FPATH",
    "IFS",
    "PROMPT_COMMAND",
    "PS4",
    "SHELLOPTS",
    "ZDOTDIR",
    // The C library (ld.so(8), gconv, locale and resolver data).
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "MALLOC_TRACE",
    "NIS_PATH",
    "NLSPATH",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "TERMCAP",
    "TERMINFO",
    "TERMINFO_DIRS",
    "TZDIR",
    // Language runtimes.
    "CLASSPATH",
    "COR_ENABLE_PROFILING",
    "DENO_DIR",
    "DOTNET_ADDITIONAL_DEPS",
    "DOTNET_STARTUP_HOOKS",
    "GEM_HOME",
    "GEM_PATH",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JULIA_LOAD_PATH",
    "LUA_CPATH",
    "LUA_INIT",
    "LUA_PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_REPL_EXTERNAL_MODULE",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PYTHONBREAKPOINT",
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONPYCACHEPREFIX",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
    "R_ENVIRON",
    "R_PROFILE",
    "R_PROFILE_USER",
    "RUBYLIB",
    "RUBYOPT",
    "TCLLIBPATH",
    "_JAVA_OPTIONS",
    // Tools that start a program named by a variable.
    "BROWSER",
    "EDITOR",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_TEMPLATE_DIR",
    "LESSCLOSE",
    "LESSOPEN",
    "MAKEFILES",
    "MAKEFLAGS",
    "MANPAGER",
    "PAGER",
    "PSQL_EDITOR",
    "PSQL_PAGER",
    "PSQLRC",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "SHELL",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "VISUAL",
    // Libraries that load modules, or write keys to a file.
    "GIO_EXTRA_MODULES",
    "GTK_MODULES",
    "GTK_PATH",
    "KRB5_CONFIG",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "PGSYSCONFDIR",
    "QT_PLUGIN_PATH",
    "SASL_PATH",
    "SSLKEYLOGFILE",
    "AWS_CONFIG_FILE",
    "CVS_RSH",
    "DOCKER_CONFIG",
    "GRADLE_OPTS",
    "HGRCPATH",
    "KUBECONFIG",
    "MAVEN_OPTS",
    "RSYNC_RSH",
    "SBT_OPTS",
    "SVN_SSH",
    "TAR_OPTIONS",
];

/// Families of such variables, by how they begin.
const INJECTING_FAMILIES: &[&str] = &[
    "BASH_FUNC_",
    "CARGO_TARGET_",
    "CORECLR_",
    "COR_PROFILER",
    "DYLD_",
    "GIT_CONFIG",
    "GIT_TRACE",
    "ERL_",
    "LD_",
    "LUA_CPATH",
    "LUA_INIT",
    "LUA_PATH",
    "PERL",
    "NPM_CONFIG_",
    "PERL5",
    "_RLD_",
    "npm_config_",
];

/// Why a variable cannot be used as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedVariable {
    /// Never passes.
    #[error("{0} cannot be passed: whoever sets it runs other code in the program")]
    Injects(Variable),
    /// Never carries a secret.
    #[error("{0} cannot carry a secret: programs and their loaders read it for themselves")]
    Target(Variable),
}

/// Whether a variable lets whoever sets it run other code in the program.
pub fn injects(name: &str) -> bool {
    named(INJECTING, name) || named(system::INJECTING, name) || begins(INJECTING_FAMILIES, name)
}

/// Whether a variable passes without being named.
fn passes(name: &str) -> bool {
    named(PASSED, name)
        || named(system::PASSED, name)
        || begins(&["LC_"], name)
        || begins(system::PASSED_FAMILIES, name)
}

fn named(list: &[&str], name: &str) -> bool {
    list.iter().any(|listed| same(listed, name))
}

fn begins(families: &[&str], name: &str) -> bool {
    families.iter().any(|family| name.get(..family.len()).is_some_and(|begin| same(family, begin)))
}

/// Checks a variable that the caller wants to pass by name.
pub fn check_pass(name: &Variable) -> Result<(), RefusedVariable> {
    if injects(name.as_str()) { Err(RefusedVariable::Injects(name.clone())) } else { Ok(()) }
}

/// Checks a variable that is to carry a secret.
pub fn check_target(name: &Variable) -> Result<(), RefusedVariable> {
    let text = name.as_str();
    if injects(text) || passes(text) || named(&["PWD", "OLDPWD", "LOGNAME"], text) {
        return Err(RefusedVariable::Target(name.clone()));
    }
    Ok(())
}

/// The variables of `from` that pass: the allow-list and those named in `pass`, in their order of arrival.
///
/// A name that is not UTF-8, or that would inject, is left out whatever `pass` says.
pub fn filter(
    from: impl IntoIterator<Item = (OsString, OsString)>,
    pass: &[Variable],
) -> Vec<(OsString, OsString)> {
    let wanted = |name: &OsStr| {
        name.to_str().is_some_and(|name| {
            !injects(name) && (passes(name) || pass.iter().any(|passed| same(passed.as_str(), name)))
        })
    };
    from.into_iter().filter(|(name, _)| wanted(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(text: &str) -> Variable {
        text.parse().unwrap()
    }

    fn names(pass: &[&str], from: &[&str]) -> Vec<String> {
        let pass: Vec<_> = pass.iter().map(|name| variable(name)).collect();
        let from = from.iter().map(|name| (OsString::from(name), OsString::from("x")));
        filter(from, &pass).into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
    }

    #[test]
    fn only_the_allow_list_passes() {
        let from = ["PATH", HOME, "LC_ALL", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "HTTPS_PROXY", "TERM"];
        assert_eq!(names(&[], &from), ["PATH", HOME, "LC_ALL", "TERM"]);
        assert_eq!(names(&["HTTPS_PROXY"], &from), ["PATH", HOME, "LC_ALL", "HTTPS_PROXY", "TERM"]);
    }

    #[test]
    fn a_variable_that_injects_never_passes_even_by_name() {
        let hostile = [
            "LD_PRELOAD",
            "LD_AUDIT",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "BASH_ENV",
            "ENV",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "NODE_OPTIONS",
            "PERL5LIB",
            "PERL5OPT",
            "PERLLIB",
            "TAR_OPTIONS",
            "LUA_INIT_5_4",
            "RSYNC_RSH",
            "RUBYOPT",
            "GLIBC_TUNABLES",
            "IFS",
            "PS4",
            "PROMPT_COMMAND",
            "BASH_FUNC_ls%%",
            "GIT_SSH_COMMAND",
            "GIT_EXTERNAL_DIFF",
            "SSLKEYLOGFILE",
            "JAVA_TOOL_OPTIONS",
            "GIT_CONFIG_COUNT",
            "EDITOR",
            "PAGER",
            "DOTNET_STARTUP_HOOKS",
            "CORECLR_ENABLE_PROFILING",
            "COR_PROFILER_PATH_64",
        ];
        for name in hostile {
            assert!(names(&[], &[name]).is_empty(), "{name}");
            if let Ok(variable) = name.parse::<Variable>() {
                assert!(names(&[name], &[name]).is_empty(), "{name}");
                assert_eq!(check_pass(&variable), Err(RefusedVariable::Injects(variable.clone())));
                assert!(check_target(&variable).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn a_secret_cannot_be_put_into_path_or_home() {
        for name in ["PATH", HOME, "LC_ALL", "TERM", "PWD"].iter().chain(TEMPORARY) {
            assert!(check_target(&variable(name)).is_err(), "{name}");
        }
        for name in ["PGPASSWORD", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "NPM_TOKEN"] {
            assert!(check_target(&variable(name)).is_ok(), "{name}");
        }
    }
}
