package wire_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// askStatus has a session with a node whose plugins are in the given state.
func askStatus(t *testing.T, status func(context.Context) []byte) (states []munin.PluginState, known bool, err error) {
	t.Helper()
	conn, _, ended := dial(t, loadNode(), wire.ServerOptions{Status: status})
	client := wire.NewClient(conn, wire.ClientOptions{})
	if _, err := client.Greet(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Cap(); err != nil {
		t.Fatal(err)
	}
	answer, known, err := client.Status()
	// Whatever came of it, the session is still in step.
	if body, err := client.Fetch("load"); err != nil || string(body) != "load.value 0.10\n" {
		t.Errorf("after status, load says %q, %v", body, err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the session ended with %v", err)
	}
	return answer.Plugins, known, err
}

func TestANodeTellsHowItsPluginsAre(t *testing.T) {
	want := munin.PluginState{Plugin: "load", Verb: "fetch", Ran: time.Unix(1_700_000_000, 0).UTC(), ExitCode: 3, Failure: "bad exit"}
	states, known, err := askStatus(t, func(context.Context) []byte {
		return munin.AppendPluginStates(nil, []munin.PluginState{want})
	})
	if err != nil || !known || len(states) != 1 || states[0] != want {
		t.Errorf("%v, %v, %v", states, known, err)
	}
}

func TestANodeThatDoesNotKnowStatusIsNoError(t *testing.T) {
	states, known, err := askStatus(t, nil)
	if err != nil || known || states != nil {
		t.Errorf("%v, %v, %v", states, known, err)
	}
}

func TestStatesThatCannotBeReadDoNotEndTheSession(t *testing.T) {
	states, known, err := askStatus(t, func(context.Context) []byte { return []byte("plugin\tverb\nload\tfetch\nx\n.\n") })
	var session *wire.SessionError
	if err == nil || errors.As(err, &session) || !known || len(states) != 1 || !strings.Contains(err.Error(), "1 of the lines") {
		t.Errorf("%v, %v, %v", states, known, err)
	}
}
