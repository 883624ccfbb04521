package node_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"corbie/internal/testenv"
	"corbie/munin/wire"
	"corbie/munin/wire/wiretest"
	"corbie/node"
)

func TestKeysOfTransportHaveTheirEffect(t *testing.T) {
	cfg := parseConfig(t, `
host unix:///run/corbie/node.sock
socket /run/other 0600 munin
tls Paranoid
tls_private_key /srv/key.pem
tls_certificate cert.pem
tls_ca_certificate /srv/ca.pem
tls_verify_certificate yes
tls_verify_depth 3
tls_match CN=master
peer_rate 0
peer_sessions 3
plugin_runs 5
plugin_memory 512M
plugin_processes 9
`)
	want := wire.TLSSettings{
		Mode: wire.TLSParanoid, Key: "/srv/key.pem", Certificate: "/etc/corbie/cert.pem", CA: "/srv/ca.pem", Verify: true, Depth: 3, Match: "CN=master",
	}
	if cfg.TLS != want {
		t.Errorf("tls %+v", cfg.TLS)
	}
	if got := fmt.Sprint(cfg.Sockets); got != "[{/run/corbie/node.sock -rw-rw---- } {/run/other -rw------- munin}]" || len(cfg.Listen) != 0 {
		t.Errorf("sockets %s, listen %q", got, cfg.Listen)
	}
	if cfg.PeerRate != 0 || cfg.PeerSessions != 3 || cfg.PluginRuns != 5 || cfg.PluginMemory != 512<<20 || cfg.PluginProcesses != 9 {
		t.Errorf("%+v", cfg.Transport)
	}
	if cfg := parseConfig(t, "socket /run/x\nplugin_memory no\n"); len(cfg.Listen) != 1 || cfg.PluginMemory != 0 {
		t.Errorf("a socket besides: listen %q", cfg.Listen)
	}
	munins, err := node.ParseConfig("/etc/munin/munin-node.conf", nil)
	if err != nil || munins.TLS != (wire.TLSSettings{
		Mode: wire.TLSAuto, Depth: 5, Key: "/etc/munin/munin-node.pem", Certificate: "/etc/munin/munin-node.pem", CA: "/etc/munin/cacert.pem",
	}) {
		t.Errorf("the defaults of Munin's node: %+v, %v", munins.TLS, err)
	}
	for _, line := range []string{
		"tls on", "tls_match (", "tls_verify_depth deep", "tls_verify_certificate perhaps", "socket relative", "socket /x 99", "socket /x 0600 g more",
		"socket /" + strings.Repeat("x", 200), "host unix://x", "peer_rate -1", "peer_sessions 0", "plugin_runs 0", "plugin_memory 5", "plugin_memory lots", "plugin_processes -1",
	} {
		if _, err := node.ParseConfig("node.conf", []byte(line+"\n")); err == nil || !strings.Contains(err.Error(), "node.conf:1: ") {
			t.Errorf("%.40s: %v", line, err)
		}
	}
}

func TestFaultsInTheKeysAreToldWhenTheyMatter(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	good, missing := ca.Issue(t, "node"), filepath.Join(t.TempDir(), "missing.pem")
	files := func(key, ca string) string {
		return "tls_private_key " + key + "\ntls_certificate " + key + "\ntls_ca_certificate " + ca + "\n"
	}
	for config, want := range map[string]string{
		"":                                      "",
		files(good, ca.File) + "tls paranoid\n": "",
		files(missing, ca.File):                 "encrypted with the master's key or not at all",
		"tls enabled\n":                         "encrypted with the master's key or not at all",
		files(good, missing) + "tls_verify_certificate yes\n": "cannot be checked",
		files(good, ca.File) + "tls_verify_certificate yes\n": "masters that show no certificate are let in",
		files(good, ca.File) + "tls_match CN=x\n":             "proves nothing",
		files(missing, ca.File) + "tls paranoid\n":            "error: tls paranoid: key: open",
		files(good, missing) + "tls paranoid\n":               "error: tls paranoid: CA certificate: open",
	} {
		warnings, err := parseConfig(t, config).CheckTLS()
		got := strings.Join(warnings, "\n")
		if err != nil {
			got = "error: " + err.Error()
		}
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s", config, got)
		}
	}
}

// secure opens a session as a client that checks nothing, up to the end of the handshake.
func (n *testNode) secure(t *testing.T) *master {
	t.Helper()
	m := n.dial(t)
	if answer := m.ask("STARTTLS"); answer != "TLS OK" {
		t.Fatalf("STARTTLS is answered with %q", answer)
	}
	conn := tls.Client(m.conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &master{t: t, conn: conn, r: bufio.NewReader(conn)}
}

func TestReloadTakesAnotherKeyAndKeepsTheSessions(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	config := func(name string) string {
		file := ca.Issue(t, name)
		return "tls enabled\ntls_private_key " + file + "\ntls_certificate " + file + "\n"
	}
	n := startNode(t, setup{scripts: map[string]string{"load": loadScript}, config: config("first")})
	name := func(m *master) string {
		return m.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	before := n.secure(t)
	if got := n.dial(t).ask("list"); got != "# I require TLS. Closing." {
		t.Errorf("in the clear: %q", got)
	}
	if err := n.server.Reload(t.Context(), n.config(t, config("second"))); err != nil {
		t.Fatal(err)
	}
	if err := n.server.Reload(t.Context(), n.config(t, "tls paranoid\n")); err == nil {
		t.Error("a paranoid node without a key was taken")
	}
	after := n.secure(t)
	if name(before) != "first" || name(after) != "second" {
		t.Errorf("the node was %s and is %s", name(before), name(after))
	}
	for _, m := range []*master{before, after} {
		if got := m.body("fetch load"); got != "load.value 0.10\n" {
			t.Errorf("fetch: %q", got)
		}
	}
}

func TestOneClientCannotHaveAllSessions(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{"load": loadScript}, config: "peer_sessions 3\n"})
	first := n.dial(t)
	for range 3 {
		n.dial(t)
	}
	if line, err := first.r.ReadString('\n'); err == nil {
		t.Errorf("the oldest of four sessions is still there and says %q", line)
	}
	if got := dialFrom(t, n, "127.0.0.2").ask("list"); got != "load" {
		t.Errorf("another client hears %q", got)
	}
}

func TestAFloodFromOneClientIsCutOffWhileAnotherIsServed(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{"load": loadScript}, config: "peer_rate 20\n"})
	served := 0
	for range 100 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "quit\n"); err == nil {
			if heard, _ := io.ReadAll(conn); strings.HasPrefix(string(heard), "# munin node at ") {
				served++
			}
		}
		_ = conn.Close()
	}
	if served < 20 || served > 40 {
		t.Errorf("%d of 100 sessions were let in", served)
	}
	if got := dialFrom(t, n, "127.0.0.2").ask("list"); got != "load" {
		t.Errorf("another client hears %q", got)
	}
	if !strings.Contains(n.log.String(), "more than peer_rate in a minute") {
		t.Errorf("log:\n%s", n.log)
	}
}

// listen serves on another listener too; the node ends with the test.
func serveOn(t *testing.T, config string, listeners ...net.Listener) (*node.Server, *lockedBuffer) {
	t.Helper()
	n := startNode(t, setup{scripts: map[string]string{"load": loadScript}, config: config})
	cfg := n.config(t, config)
	server := node.NewServer(cfg, n.catalogue, n.opts)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listeners) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) { // A test may close a listener.
			t.Errorf("the node ended with %v", err)
		}
	})
	return server, n.log
}

func TestMastersComeOverIPv6AndBySocket(t *testing.T) {
	f := func(network, address, config, want string) {
		t.Helper()
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
		if err != nil && strings.HasPrefix(address, "[") && !testenv.Required() {
			t.Logf("no IPv6 here: %v", err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		dialed := listener.Addr().String()
		if address == "[::]:0" { // A client with IPv4, for which the node sees an IPv6 address with an IPv4 one in it.
			_, port, _ := net.SplitHostPort(dialed)
			network, dialed = "tcp4", "127.0.0.1:"+port
		}
		serveOn(t, config, listener)
		conn, err := (&net.Dialer{}).DialContext(t.Context(), network, dialed)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "fetch load\nquit\n"); err != nil {
			t.Fatal(err)
		}
		heard, _ := io.ReadAll(conn)
		if got := strings.TrimPrefix(string(heard), "# munin node at Node1.example.com\n"); got != want {
			t.Errorf("%s %s, %s: heard %q", network, address, config, got)
		}
	}
	const served = "load.value 0.10\n.\n"
	f("tcp", "[::1]:0", "", served)
	f("tcp", "[::1]:0", "allow ^::1$\n", served)
	f("tcp", "[::1]:0", "cidr_allow ::/64\n", served)
	f("tcp", "[::1]:0", `allow ^127\.0\.0\.1$`+"\n", "")
	f("tcp", "[::]:0", `allow ^127\.0\.0\.1$`+"\n", served)
	f("tcp", "[::]:0", "cidr_allow 127.0.0.0/8\n", served)
	f("tcp", "[::]:0", "allow ^::1$\n", "")
	f("unix", filepath.Join(t.TempDir(), "s"), `allow ^192\.0\.2\.1$`+"\n", served) // The file's mode is its access list.
}

func TestPingAnswersOnlyWhileTheNodeWorks(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, _ := serveOn(t, "", listener)
	patience, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	for err = server.Ping(patience); err != nil && patience.Err() == nil; err = server.Ping(patience) {
		continue // It is about to begin.
	}
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 { // Connections that come while it is woken are not lost.
		wg.Go(func() { _ = server.Ping(patience) })
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "quit\n"); err != nil {
			t.Fatal(err)
		}
		if heard, _ := io.ReadAll(conn); !strings.HasPrefix(string(heard), "# munin node") {
			t.Errorf("heard %q", heard)
		}
		wg.Wait()
		_ = conn.Close()
	}
	_ = listener.Close()
	if err := server.Ping(patience); err == nil {
		t.Error("a node that does not listen any more calls itself alive")
	}
}

func TestTokensComeBackInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate := node.NewRates(60)
		count := func(addr string) (n int) {
			for rate(addr) {
				n++
			}
			return n
		}
		if got := count("192.0.2.1"); got != 60 {
			t.Errorf("at first %d", got)
		}
		if got := count("2001:db8::1"); got != 60 {
			t.Errorf("another client has %d", got)
		}
		if got := count("2001:db8::ffff"); got != 0 {
			t.Errorf("its neighbour has %d", got)
		}
		<-time.After(10 * time.Second)
		if got := count("192.0.2.1"); got != 10 {
			t.Errorf("after ten seconds %d", got)
		}
		<-time.After(time.Hour)
		if got := count("192.0.2.1"); got != 60 {
			t.Errorf("after an hour %d", got)
		}
		for i := range 5000 {
			_ = rate(fmt.Sprintf("10.0.%d.%d", i/256, i%256))
		}
		if got := count("10.9.9.9"); got > 60 {
			t.Errorf("with many clients %d", got)
		}
	})
}
