//! Platforms without support yet: building says so at once.

compile_error!("procession supports Linux only for now: see ARCHITECTURE.md, \"The platform seam\"");
