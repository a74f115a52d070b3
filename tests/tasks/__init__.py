"""What the processes of tests run: small modules, which every start method imports."""
