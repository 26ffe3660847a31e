//! What is known of the modules that JavaScript programs import.

use switchtower_contract::python::HOME;

use super::super::profile::StaticEffect;

/// Node's own modules.
const BUILTIN: &[&str] = &[
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// Packages that talk to other machines.
const NETWORK: &[&str] = &[
    "axios",
    "got",
    "node-fetch",
    "undici",
    "superagent",
    "request",
    "ws",
    "socket.io",
    "express",
    "fastify",
    "koa",
    "puppeteer",
    "playwright",
    "openai",
    "pg",
    "mysql",
    "mysql2",
    "mongodb",
    "mongoose",
    "redis",
    "ioredis",
    "nodemailer",
];

/// Returns whether a module is one of Node's own.
pub(super) fn is_builtin(module: &str) -> bool {
    BUILTIN.contains(&module)
}

/// Returns the name under which a tier offers what this specifier imports; `None` for a file.
pub(super) fn name(specifier: &str) -> Option<&str> {
    let plain = specifier.strip_prefix("node:").unwrap_or(specifier);
    if plain.is_empty() || plain.starts_with(['.', '/']) || plain.starts_with("file:") {
        return None;
    }
    let mut parts = plain.match_indices('/').map(|(at, _)| at);
    let end = if plain.starts_with('@') { parts.nth(1) } else { parts.next() };
    Some(&plain[..end.unwrap_or(plain.len())])
}

/// Returns the effect of using a module.
pub(super) fn effect(module: &str) -> Option<StaticEffect> {
    match module {
        "child_process" | "cluster" => Some(StaticEffect::Processes),
        "worker_threads" => Some(StaticEffect::Threads),
        "fs" => Some(StaticEffect::Files),
        "net" | "http" | "https" | "http2" | "dgram" | "dns" | "tls" => Some(StaticEffect::Network),
        _ if NETWORK.contains(&module) => Some(StaticEffect::Network),
        _ => None,
    }
}

/// Returns the package that a given file belongs to.
pub(super) fn package_of_file(path: &str) -> Option<&str> {
    let path = path.strip_prefix(HOME).and_then(|below| below.strip_prefix('/')).unwrap_or(path);
    name(path.strip_prefix("node_modules/")?)
}
