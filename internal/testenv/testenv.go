// Package testenv is what tests of several packages need of the machine that they run on: the programs that Corbie is compared with, folders,
// addresses, and processes with their logs. It is for tests only.
package testenv

import (
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Patience is how long tests wait for what must come soon; it ends a broken test, it never makes one pass.
const Patience = 3 * time.Minute

// Required says whether a test must fail where a peer is missing, instead of being skipped.
func Required() bool { return os.Getenv("CORBIE_PEERS") == "required" }

// Need ends a test that cannot do without something that is not there: it is skipped, or fails where peers are required.
func Need(tb testing.TB, what string, there bool) {
	tb.Helper()
	switch {
	case there:
	case Required():
		tb.Fatalf("%s is missing: run make peers as root", what)
	default:
		tb.Skipf("%s is missing", what)
	}
}

// Root needs the test to run as root.
func Root(tb testing.TB) {
	tb.Helper()
	Need(tb, "root", os.Geteuid() == 0)
}

// Program is the path of a program that the test needs; those of the system count, too.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	Need(tb, name, err == nil)
	return path
}

// PublicDir is a temporary folder that every user can look into, as plugins do, which a node runs as nobody. Its name is short enough for a
// socket in it.
func PublicDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "corbie-test-") //nolint:usetesting // tb.TempDir is closed to others
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) }) // At worst it stays.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		tb.Fatal(err)
	}
	return dir
}

// WriteFile writes a file with exactly this mode, and the folders that it lies in.
func WriteFile(tb testing.TB, path, text string, mode fs.FileMode) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // others look into it
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		tb.Fatal(err)
	}
}

// FreeAddress is an address of the loopback interface that nobody listens on; network is tcp or udp.
func FreeAddress(tb testing.TB, network string) string {
	tb.Helper()
	const loopback = "127.0.0.1:0"
	if network == "udp" {
		conn, err := (&net.ListenConfig{}).ListenPacket(tb.Context(), network, loopback)
		if err != nil {
			tb.Fatal(err)
		}
		defer conn.Close()
		return conn.LocalAddr().String()
	}
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), network, loopback)
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Eventually asks again and again until the answer is yes or patience ends.
func Eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			tb.Fatalf("did not happen in %v: %s", Patience, what)
		case <-tick.C:
		}
	}
}

// AwaitListener waits until somebody takes connections at an address.
func AwaitListener(tb testing.TB, address string) {
	tb.Helper()
	Eventually(tb, "somebody listens at "+address, func() bool {
		conn, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close() // It listens: that is all.
		}
		return err == nil
	})
}

// Get asks for a page and follows where it leads; it must be answered.
func Get(tb testing.TB, url string) (status int, body string) {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	answer, err := new(http.Client).Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatalf("%s: %v", url, err)
	}
	return answer.StatusCode, string(text)
}
