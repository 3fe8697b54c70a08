//! Variables of Windows: upper and lower case are one, and the system's own programs need many of them.

/// Variables that pass without being named. Without `SystemRoot` sockets and cryptography fail.
pub const PASSED: &[&str] = &[
    "APPDATA",
    "COMPUTERNAME",
    "COMSPEC",
    "LOCALAPPDATA",
    "NUMBER_OF_PROCESSORS",
    "OS",
    "PATHEXT",
    "PROGRAMDATA",
    "ProgramFiles",
    "SystemDrive",
    "SystemRoot",
    "TEMP",
    "TMP",
    "USERDOMAIN",
    "USERNAME",
    "USERPROFILE",
    "windir",
];

/// Families of such, by how they begin.
pub const PASSED_FAMILIES: &[&str] = &["PROCESSOR_"];

/// Variables that inject, beside those of every system: where PowerShell finds its modules, how the loader treats
/// a program, where runtimes look for what they load.
pub const INJECTING: &[&str] = &[
    "DEVPATH",
    "DOTNET_ROOT",
    "DOTNET_ROOT(x86)",
    "DOTNET_SHARED_STORE",
    "PSModulePath",
    "PY_PYTHON",
    "PY_PYTHON2",
    "PY_PYTHON3",
    "__COMPAT_LAYER",
    "_NT_ALT_SYMBOL_PATH",
    "_NT_SYMBOL_PATH",
];

/// The variables whose values an approval fixes, each as a prompt calls it: who chooses them chooses what runs,
/// and from where programs load and configure themselves.
pub const FIXED: &[(&str, &str)] = &[
    ("PATH", "search path"),
    ("PATHEXT", "extensions"),
    ("USERPROFILE", "home"),
    ("APPDATA", "AppData"),
    ("LOCALAPPDATA", "LocalAppData"),
    ("SystemRoot", "system root"),
    ("COMSPEC", "shell"),
    ("PROGRAMDATA", "ProgramData"),
    ("ProgramFiles", "Program Files"),
    ("SystemDrive", "system drive"),
    ("windir", "Windows"),
];

/// Says where a user's own files are.
pub const HOME: &str = "USERPROFILE";

/// Say where temporary files go.
pub const TEMPORARY: &[&str] = &["TEMP", "TMP"];

/// Whether two names are one variable. Names beyond ASCII are compared as they stand: none is listed, and one that
/// differs in case only is at most let pass twice.
pub fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Equal for names of one variable.
pub fn key(name: &str) -> String {
    name.to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::super::*;

    fn passed(from: &[&str]) -> Vec<String> {
        let from = from.iter().map(|name| (OsString::from(name), OsString::from("x")));
        filter(from, &["My_Var".parse().unwrap()])
            .into_iter()
            .map(|(name, _)| name.into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_case_of_a_name_changes_nothing() {
        let harmless = ["Path", "systemroot", "programfiles", "processor_level", "MY_VAR", "Lc_All"];
        assert_eq!(passed(&harmless), harmless);
        // Where programs are led to their settings and no approval fixes it.
        assert_eq!(passed(&["HOMEDRIVE", "HomePath", "ALLUSERSPROFILE", "PUBLIC", "ProgramW6432"]), [""; 0]);
        let hostile = [
            "psmodulepath",
            "__Compat_Layer",
            "Ld_Preload",
            "node_options",
            "Cor_Profiler",
            "Git_Config_Count",
        ];
        assert_eq!(passed(&hostile), [""; 0]);
        for name in hostile {
            assert!(check_pass(&name.parse().unwrap()).is_err(), "{name}");
        }
        for name in ["path", "ComSpec", "pathext", "UserProfile", "windir", "tmp"] {
            assert!(check_target(&name.parse().unwrap()).is_err(), "{name}");
        }
    }

    #[test]
    fn what_an_approval_fixes_passes_and_carries_no_secret() {
        for (name, _) in FIXED {
            assert_eq!(passed(&[name]), [*name]);
            assert!(check_target(&name.parse().unwrap()).is_err(), "{name}");
        }
    }
}
