// Runs `run_module.py` of the current folder in Pyodide.
import { loadPyodide } from "pyodide";
import fs from "node:fs";

const write = (fd) => (bytes) => fs.writeSync(fd, bytes);
const python = await loadPyodide({ env: {} });
python.setStdout({ write: write(1) });
python.setStderr({ write: write(2) });
python.mountNodeFS("/folder", process.cwd());
try {
    python.runPython("import os, sys; os.chdir('/folder'); sys.argv = ['run_module.py']; import runpy; runpy.run_path('run_module.py', run_name='__main__')");
} catch (error) {
    console.error(String(error).trim());
    process.exitCode = 1;
}
