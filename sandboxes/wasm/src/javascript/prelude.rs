//! The modules of the prelude.

macro_rules! prelude {
    ($($name:literal,)+) => {
        /// The modules of the prelude and their sources.
        pub(super) const MODULES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../javascript/", $name, ".js"))),)+];
    };
}

prelude! {
    "assert", "buffer", "console", "crypto", "encoding", "errors", "events", "fs", "inspect", "locale", "main", "modules", "os", "path",
    "perf_hooks", "process", "querystring", "readline", "stream", "string_decoder", "structured_clone", "timers", "url", "util",
}

/// Loads the modules, each in a function of its own, and returns what `main` exports.
pub(super) const BOOT: &str = "(function (host, sources) {
  const cache = Object.create(null);
  function load(name) {
    if (cache[name] !== undefined) return cache[name].exports;
    const module = cache[name] = { exports: {} };
    const run = host.compile(`(function (module, exports, require, host) {${sources[name]}\\n})`, `node:internal/${name}`, 0);
    run(module, module.exports, load, host);
    return module.exports;
  }
  return load('main');
})";
