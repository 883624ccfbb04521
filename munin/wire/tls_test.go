package wire_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/munin/wire"
	"corbie/munin/wire/wiretest"
)

// side makes one side of a session out of its settings; a file in them stands for key and certificate.
func side(t *testing.T, mode wire.TLSMode, file string, change ...func(*wire.TLSSettings)) *wire.TLS {
	t.Helper()
	settings := wire.TLSSettings{Mode: mode, Key: file, Certificate: file, Depth: wire.DefaultTLSDepth}
	for _, f := range change {
		f(&settings)
	}
	one, err := wire.NewTLS(settings)
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func trusting(ca *wiretest.CA) func(*wire.TLSSettings) {
	return func(s *wire.TLSSettings) { s.CA, s.Verify = ca.File, true }
}

func withMatch(pattern string) func(*wire.TLSSettings) {
	return func(s *wire.TLSSettings) { s.Match = pattern }
}

const nodeBanner = "# munin node at node1.example.com\n"

// connect is dial over TCP: sides of a handshake may both write at the same time.
func connect(t *testing.T, opts wire.ServerOptions) (client net.Conn, ended <-chan error) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	opts.Name, opts.Version = "node1.example.com", "2.0.73"
	result := make(chan error, 1)
	go func() { result <- wire.NewServerConn(server, opts).Serve(t.Context(), loadNode()) }()
	return client, result
}

// outcome of a session between a node and a master.
type outcome struct {
	encrypted    bool
	node, master error
}

// meet lets a master greet a node, encrypt as both want it, and fetch a plugin.
func meet(t *testing.T, node, master *wire.TLS) outcome {
	t.Helper()
	client, ended := connect(t, wire.ServerOptions{TLS: node})
	c := wire.NewClient(client, wire.ClientOptions{Idle: 5 * time.Second})
	var o outcome
	fetch := func() error {
		if _, err := c.Greet(); err != nil {
			return err
		}
		var err error
		if o.encrypted, err = c.StartTLS(t.Context(), master); err != nil {
			return err
		}
		if _, err := c.Cap(); err != nil {
			return err
		}
		body, err := c.Fetch("load")
		if err == nil && string(body) != "load.value 0.10\n" {
			t.Errorf("fetch load: %q", body)
		}
		return err
	}
	o.master = fetch()
	_ = c.Close()
	o.node = <-ended
	return o
}

func TestEveryPairOfModesMeetsAsMuninsWould(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	modes := []wire.TLSMode{wire.TLSDisabled, wire.TLSAuto, wire.TLSEnabled, wire.TLSParanoid}
	for _, nodeMode := range modes {
		for _, masterMode := range modes {
			for _, nodeHasKey := range []bool{true, false} {
				for _, masterHasKey := range []bool{true, false} {
					name := fmt.Sprintf("node %v %v, master %v %v", nodeMode, nodeHasKey, masterMode, masterHasKey)
					t.Run(name, func(t *testing.T) {
						var nodeFile, masterFile string
						if nodeHasKey {
							nodeFile = ca.Issue(t, "node")
						}
						if masterHasKey {
							masterFile = ca.Issue(t, "master")
						}
						trust := func(s *wire.TLSSettings) { s.CA = ca.File }
						o := meet(t, side(t, nodeMode, nodeFile, trust), side(t, masterMode, masterFile, trust))
						encrypted, works := expectation(nodeMode, masterMode, nodeHasKey, masterHasKey)
						if (o.master == nil) != works || works && o.encrypted != encrypted || works && o.node != nil {
							t.Errorf("encrypted %v, node %v, master %v; want encrypted %v, works %v", o.encrypted, o.node, o.master, encrypted, works)
						}
						if !works && !errors.Is(o.master, wire.ErrTLS) && !errors.Is(o.node, wire.ErrTLS) {
							t.Errorf("nobody says that it is for TLS: node %v, master %v", o.node, o.master)
						}
					})
				}
			}
		}
	}
}

// expectation is the table of modes in words.
func expectation(node, master wire.TLSMode, nodeHasKey, masterHasKey bool) (encrypted, works bool) {
	switch {
	case master == wire.TLSDisabled:
		return false, !node.Required()
	case node == wire.TLSParanoid && (!nodeHasKey || !masterHasKey):
		return false, false // The node needs a key of its own, and a certificate from the master.
	case master == wire.TLSParanoid && (!nodeHasKey || !masterHasKey):
		return false, false
	}
	return true, true
}

func TestMasterInAutoGoesOnInTheClearWithANodeThatKnowsNoTLS(t *testing.T) {
	if o := meet(t, nil, side(t, wire.TLSAuto, "")); o.master != nil || o.encrypted || o.node != nil {
		t.Errorf("auto: %+v", o)
	}
	if o := meet(t, nil, side(t, wire.TLSEnabled, "")); !errors.Is(o.master, wire.ErrTLS) || !strings.Contains(o.master.Error(), "does not know how") {
		t.Errorf("enabled: %+v", o)
	}
}

func TestWrongCertificatesAreRefusedOnBothSides(t *testing.T) {
	ca, stranger := wiretest.NewCA(t, "authority"), wiretest.NewCA(t, "stranger")
	node, master := ca.Issue(t, "node"), ca.Issue(t, "master")
	const paranoid, enabled = wire.TLSParanoid, wire.TLSEnabled
	for name, c := range map[string]struct {
		node, master *wire.TLS
		nodeSays     string
		masterSays   string
	}{
		"the master is a stranger": {
			side(t, paranoid, node, trusting(ca)), side(t, paranoid, stranger.Issue(t, "spy"), trusting(ca)),
			`the certificate of "/C=NO/O=Test/CN=spy" is not trusted`, "refused",
		},
		"the node is a stranger": {
			side(t, paranoid, stranger.Issue(t, "trap"), trusting(ca)), side(t, paranoid, master, trusting(ca)),
			"refused", `the certificate of "/C=NO/O=Test/CN=trap" is not trusted`,
		},
		"the master has none": {
			side(t, paranoid, node, trusting(ca)), side(t, enabled, ""), "shows no certificate", "refused",
		},
		"the node has none and the master verifies": {
			side(t, wire.TLSAuto, ""), side(t, enabled, master, trusting(ca)), "refused", "shows no certificate",
		},
		"the node's name does not match": {
			side(t, enabled, node), side(t, enabled, master, trusting(ca), withMatch("CN=other$")), "refused", "tls_match does not fit",
		},
		"the master's name does not match": {
			side(t, enabled, node, trusting(ca), withMatch(`Subject Name: .*/CN=boss\n`)), side(t, enabled, master), "tls_match does not fit", "refused",
		},
		"the node trusts nobody": {
			side(t, paranoid, node), side(t, paranoid, master, trusting(ca)), "is not trusted", "refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := meet(t, c.node, c.master)
			if o.master == nil || !strings.Contains(o.master.Error(), c.masterSays) || !errors.Is(o.master, wire.ErrTLS) {
				t.Errorf("the master says %v", o.master)
			}
			if o.node == nil || !strings.Contains(o.node.Error(), c.nodeSays) {
				t.Errorf("the node says %v", o.node)
			}
		})
	}
	matching := withMatch(`(?s)Subject Name: /C=NO/O=Test/CN=(node|master)\nIssuer  Name: .*CN=authority`)
	if o := meet(t, side(t, paranoid, node, trusting(ca), matching), side(t, paranoid, master, trusting(ca), matching)); o.master != nil || o.node != nil {
		t.Errorf("the right ones: %+v", o)
	}
}

func TestCertificatesMayBeSignedThroughAChainOfSomeDepth(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	node := ca.Under(t, "region").Under(t, "site").Issue(t, "node")
	for depth, want := range map[int]bool{5: true, 2: true, 1: false, 0: false} {
		o := meet(t, side(t, wire.TLSAuto, node), side(t, wire.TLSEnabled, "", trusting(ca), func(s *wire.TLSSettings) { s.Depth = depth }))
		if (o.master == nil) != want || !want && !strings.Contains(o.master.Error(), "tls_verify_depth") {
			t.Errorf("depth %d: %v", depth, o.master)
		}
	}
}

func TestANodeThatWantsTLSSaysSoAndCloses(t *testing.T) {
	for _, say := range []string{"list\n", "cap multigraph\nlist\n", "starttls now\n", "\n", "quit\n"} {
		client, ended := connect(t, wire.ServerOptions{TLS: side(t, wire.TLSEnabled, "")})
		go say1(client, say)
		heard, _ := io.ReadAll(client)
		if string(heard) != nodeBanner+"# I require TLS. Closing.\n" {
			t.Errorf("%q: heard %q", say, heard)
		}
		if err := <-ended; !errors.Is(err, wire.ErrTLS) {
			t.Errorf("%q: %v", say, err)
		}
	}
}

func say1(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

// encrypted opens a session by hand, up to the end of the handshake.
func encrypted(t *testing.T, client net.Conn, early string) (*tls.Conn, error) {
	t.Helper()
	r := bufio.NewReader(client)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(client, "STARTTLS\r\n"+early); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "TLS OK\n" {
		return nil, fmt.Errorf("%q, %w", line, err)
	}
	secure := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) //nolint:gosec // a test
	return secure, secure.HandshakeContext(t.Context())
}

// TestEachLineIsARecord is for Munin's master and node, which take a record for a line.
func TestEachLineIsARecord(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	client, _ := connect(t, wire.ServerOptions{TLS: side(t, wire.TLSAuto, ca.Issue(t, "node"))})
	secure, err := encrypted(t, client, "")
	if err != nil {
		t.Fatal(err)
	}
	go say1(secure, "config load\nlist\n")
	record := make([]byte, 64<<10)
	for _, want := range []string{"graph_title Load average\n", "graph_vlabel load\n", "load.label load\n", ".\n", "cpu load\n"} {
		n, err := secure.Read(record)
		if string(record[:n]) != want || err != nil {
			t.Errorf("a record holds %q, %v; want %q", record[:n], err, want)
		}
	}
}

func TestASecondSTARTTLSEndsTheSession(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	client, ended := connect(t, wire.ServerOptions{TLS: side(t, wire.TLSAuto, ca.Issue(t, "node"))})
	secure, err := encrypted(t, client, "")
	if err != nil {
		t.Fatal(err)
	}
	go say1(secure, "version\nfetch load\nstarttls\nfetch load\n")
	heard, err := io.ReadAll(secure)
	if string(heard) != "munins node on node1.example.com version: 2.0.73\nload.value 0.10\n.\n" || err != nil {
		t.Errorf("heard %q, %v", heard, err)
	}
	if err := <-ended; !errors.Is(err, wire.ErrTLS) {
		t.Errorf("the session ended with %v", err)
	}
}

func TestCommandsThatCameBeforeTheHandshakeEndTheSession(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	client, ended := connect(t, wire.ServerOptions{TLS: side(t, wire.TLSAuto, ca.Issue(t, "node"))})
	if _, err := encrypted(t, client, "fetch load\n"); err == nil {
		t.Error("the node took a command that came in the clear for one that was encrypted")
	}
	if err := <-ended; !errors.Is(err, wire.ErrTLS) {
		t.Errorf("the session ended with %v", err)
	}
}

func TestAFailedHandshakeEndsTheSession(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	client, ended := connect(t, wire.ServerOptions{TLS: side(t, wire.TLSAuto, ca.Issue(t, "node"))})
	go say1(client, "starttls\n")
	r := bufio.NewReader(client)
	for range 2 {
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	go say1(client, "fetch load\nfetch load\nfetch load\n")
	if heard, _ := io.ReadAll(r); strings.Contains(string(heard), "load.value") {
		t.Errorf("heard %q", heard)
	}
	if err := <-ended; !errors.Is(err, wire.ErrTLS) || !strings.Contains(err.Error(), "no TLS at all") {
		t.Errorf("the session ended with %v", err)
	}
}

func TestChangedFilesAreReadAgainAndBadOnesAreNot(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	file := filepath.Join(t.TempDir(), "node.pem")
	put := func(name string) {
		t.Helper()
		text, err := os.ReadFile(ca.Issue(t, name))
		if err == nil {
			err = os.WriteFile(file, append(text, []byte(strings.Repeat("\n", len(name)))...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	node := side(t, wire.TLSAuto, file)
	if fault := node.Check().Key; !errors.Is(fault, os.ErrNotExist) {
		t.Errorf("without a file: %v", fault)
	}
	name := func() string {
		client, _ := connect(t, wire.ServerOptions{TLS: node})
		secure, err := encrypted(t, client, "")
		if err != nil {
			t.Fatal(err)
		}
		return secure.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	put("first")
	if got := name(); got != "first" || node.Check().Key != nil {
		t.Errorf("%s, %v", got, node.Check().Key)
	}
	put("the second")
	if got := name(); got != "the second" {
		t.Errorf("after a change: %s", got)
	}
	if err := os.WriteFile(file, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "the second" || node.Check().Key == nil {
		t.Errorf("after a bad change: %s, %v", got, node.Check().Key)
	}
}

func TestFaultsInTLSFilesAreNamed(t *testing.T) {
	ca := wiretest.NewCA(t, "authority")
	dir, good := t.TempDir(), ca.Issue(t, "node")
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	locked := file("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")
	for name, c := range map[string]struct {
		settings wire.TLSSettings
		key, ca  string
	}{
		"nothing set":     {wire.TLSSettings{Verify: true}, "no key is set", "no CA certificate is set"},
		"a passphrase":    {wire.TLSSettings{Key: locked, Certificate: good}, "passphrase", ""},
		"not a pair":      {wire.TLSSettings{Key: good, Certificate: ca.File}, "does not match", ""},
		"no certificate":  {wire.TLSSettings{Key: good, Certificate: filepath.Join(dir, "none")}, "certificate: open", ""},
		"not a CA":        {wire.TLSSettings{Key: good, Certificate: good, Verify: true, CA: file("ca", "text")}, "", "no certificate in PEM form"},
		"a CA, unused":    {wire.TLSSettings{Key: good, Certificate: good, CA: file("ca", "text")}, "", ""},
		"too large":       {wire.TLSSettings{Key: file("large", strings.Repeat("x", 5<<20)), Certificate: good}, "larger than", ""},
		"all as it is to": {wire.TLSSettings{Key: good, Certificate: good, Verify: true, CA: ca.File}, "", ""},
	} {
		one, err := wire.NewTLS(c.settings)
		if err != nil {
			t.Fatal(err)
		}
		faults := one.Check()
		for _, f := range []struct {
			err  error
			want string
		}{{faults.Key, c.key}, {faults.CA, c.ca}} {
			if (f.err == nil) != (f.want == "") || f.err != nil && !strings.Contains(f.err.Error(), f.want) {
				t.Errorf("%s: %v, want %q", name, f.err, f.want)
			}
		}
	}
	if _, err := wire.NewTLS(wire.TLSSettings{Match: "("}); err == nil {
		t.Error("a bad expression was taken")
	}
	for text, want := range map[string]wire.TLSMode{"Disabled": wire.TLSDisabled, "auto": wire.TLSAuto, "ENABLED": wire.TLSEnabled, "paranoid": wire.TLSParanoid} {
		if got, err := wire.ParseTLSMode(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := wire.ParseTLSMode("on"); err == nil {
		t.Error("a mode that does not exist was taken")
	}
}

// FuzzStartTLS has a node that answers STARTTLS with anything. The session is encrypted, or goes on in the clear where
// that is allowed, or ends; it does not hang, and nothing that was said before counts as said inside.
func FuzzStartTLS(f *testing.F) {
	f.Add("TLS OK\n", false)
	f.Add("TLS OK\n\x16\x03\x03\x00\x05hello"+proof, false)
	f.Add("TLS MAYBE\n\x16\x03\x01\x00\x02\x01\x00", false)
	f.Add("# Unknown command\n"+proof, false)
	f.Add("# Unknown command\n"+proof, true)
	f.Fuzz(func(t *testing.T, said string, must bool) {
		settings := wire.TLSSettings{Mode: wire.TLSAuto}
		if must {
			settings.Mode = wire.TLSEnabled
		}
		both, err := wire.NewTLS(settings)
		if err != nil {
			t.Fatal(err)
		}
		c := wire.NewClient(replayed(banner+said), wire.ClientOptions{Idle: time.Second})
		defer c.Close()
		if _, err := c.Greet(); err != nil {
			t.Fatal(err)
		}
		encrypted, err := c.StartTLS(t.Context(), both)
		switch {
		case encrypted:
			t.Errorf("a node without a key encrypted the session: %q", said)
		case err == nil && must:
			t.Errorf("the session went on in the clear: %q", said)
		case err != nil:
			if _, again := c.Cap(); again == nil {
				t.Errorf("the session went on after %v", err)
			}
		}
	})
}
