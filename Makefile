# `make demo` and `make test` are all most people need; each sets up what it uses inside the checkout.
.PHONY: demo test check bench campaign setup clean

demo:     ; @scripts/demo
test:     ; @scripts/test
check:    ; @scripts/check
bench:    ; @scripts/bench $(ARGS)
campaign: ; @scripts/campaign $(ARGS)
setup:    ; @scripts/setup
clean:    ; rm -rf .venv target python/procession/_procession*.so
