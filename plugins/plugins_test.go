package plugins_test

import (
	"context"
	"testing"

	"corbie/plugins"
)

// run runs a plugin, which must not fail.
func run(t testing.TB, set *plugins.Set, name, verb string, env map[string]string) []byte {
	t.Helper()
	out, err := set.Run(context.Background(), name, verb, env)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
