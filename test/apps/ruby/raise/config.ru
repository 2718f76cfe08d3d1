# Raises before it answers. What it says must be seen in the log only.
run ->(_env) { raise "a secret of the application" }
