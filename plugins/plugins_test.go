package plugins_test

import (
	"context"
	"testing"

	"corbie/plugins"
)

// run runs a plugin, which must not fail.
func run(tb testing.TB, set *plugins.Set, name, verb string, env map[string]string) []byte {
	tb.Helper()
	out, err := set.Run(context.Background(), name, verb, env)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
