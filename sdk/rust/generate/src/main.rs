//! Writes `heddle-sdk/src/wire/generated.rs` from `heddle/udf_bridge/plugin.proto`. Run it with
//! `make generate` after a change of the protocol.

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let protocol = workspace.join("../../heddle/udf_bridge");
    let target = workspace.join("heddle-sdk/src/wire");

    let descriptors = protox::compile([protocol.join("plugin.proto")], [&protocol])?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(&target)
        .compile_fds(descriptors)?;
    fs::rename(target.join("heddle.plugin.v1.rs"), target.join("generated.rs"))?;
    Ok(())
}
