package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin/wire/wiretest"
)

// startTLSNode starts a node with three native plugins and these lines in its configuration.
func startTLSNode(t *testing.T, lines string) *daemon {
	t.Helper()
	config := filepath.Join(t.TempDir(), "node.conf")
	testenv.WriteFile(t, config, "host_name node1.example.com\nservicedir plugins\nsconfdir conf\nnative load uptime users\n"+lines, 0o600)
	return startNode(t, "corbie-node", "--config", config)
}

func keys(file, ca string) string {
	return fmt.Sprintf("tls_private_key %[1]s\ntls_certificate %[1]s\ntls_ca_certificate %[2]s\n", file, ca)
}

// TestMuninUpdatePollsThroughTLS is Debian's Munin master with "tls paranoid" against our node, also when the
// node has no key and the two change their roles.
func TestMuninUpdatePollsThroughTLS(t *testing.T) {
	account := needMuninUpdate(t)
	ca := wiretest.NewCA(t, "authority")
	master := ca.Issue(t, "master")
	paranoid := "tls paranoid\ntls_verify_certificate yes\n" + keys(master, ca.File)
	for name, c := range map[string]struct{ node, master string }{
		"both paranoid":               {"tls paranoid\n" + keys(ca.Issue(t, "node"), ca.File) + "tls_match CN=master\n", paranoid},
		"a chain":                     {"tls enabled\n" + keys(ca.Under(t, "site").Issue(t, "far"), ca.File), paranoid},
		"a node without a key":        {"tls enabled\n", "tls enabled\n" + keys(master, ca.File)},
		"auto at a node in the clear": {"tls disabled\n", "tls auto\n" + keys(master, ca.File)},
		"both auto":                   {keys(ca.Issue(t, "another"), ca.File), "tls auto\n" + keys(master, ca.File)},
		"a master in the clear":       {"tls auto\n" + keys(ca.Issue(t, "third"), ca.File), "tls disabled\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d := startTLSNode(t, c.node)
			log := pollWithMunin(t, d, account, c.master)
			if bad := regexp.MustCompile(`(?m)^.*\[(.*WARNING|ERROR|FATAL)\].*$|^.*TLS.*$`).FindAllString(log, -1); len(bad) > 0 {
				t.Errorf("munin-update complains:\n%s", strings.Join(bad, "\n"))
			}
			for _, rrd := range []string{"load-load", "uptime-uptime"} {
				if !strings.Contains(log, rrd) {
					t.Errorf("%s was not made:\n%s", rrd, log)
				}
			}
			d.Stop(t)
		})
	}
}

func needMuninUpdate(t *testing.T) *user.User {
	t.Helper()
	_, err := os.Stat(muninUpdate)
	testenv.Need(t, "munin-update (Debian's munin)", err == nil)
	testenv.Need(t, "Net::SSLeay (Debian's libnet-ssleay-perl)", exec.CommandContext(t.Context(), "perl", "-MNet::SSLeay", "-e", "1").Run() == nil)
	account, err := user.Lookup("munin")
	testenv.Need(t, "the user munin", err == nil)
	testenv.Need(t, "root, to become munin", os.Getuid() == 0)
	return account
}

// pollWithMunin polls a node once and returns munin-update's log, with the names of the files that it made.
func pollWithMunin(t *testing.T, d *daemon, account *user.User, lines string) string {
	t.Helper()
	dir, update := muninMaster(t, d.addr, account)
	config, err := os.ReadFile(filepath.Join(dir, "munin.conf"))
	if err != nil {
		t.Fatal(err)
	}
	testenv.WriteFile(t, filepath.Join(dir, "munin.conf"), string(config)+lines, 0o644)
	update()
	log, err := os.ReadFile(filepath.Join(dir, "log/munin-update.log"))
	if err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(dir, "db/test/*.rrd"))
	if err != nil {
		t.Fatal(err)
	}
	return string(log) + strings.Join(made, "\n")
}

func TestMuninUpdateAndTheNodeRefuseWrongCertificates(t *testing.T) {
	t.Parallel()
	account := needMuninUpdate(t)
	ca, stranger := wiretest.NewCA(t, "authority"), wiretest.NewCA(t, "stranger")
	const paranoid = "tls paranoid\ntls_verify_certificate yes\n"
	node, master := ca.Issue(t, "node"), ca.Issue(t, "master")
	for name, c := range map[string]struct{ node, master, nodeSays string }{
		"the master is a stranger": {paranoid + keys(node, ca.File), paranoid + keys(stranger.Issue(t, "spy"), ca.File), "CN=spy"},
		"the node is a stranger":   {paranoid + keys(stranger.Issue(t, "trap"), ca.File), paranoid + keys(master, ca.File), "the handshake failed"},
		"the master has no key":    {paranoid + keys(node, ca.File), "tls enabled\n", "shows no certificate"},
		"the master asks in clear": {"tls enabled\n" + keys(node, ca.File), "tls disabled\n", "did not ask for it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Munin looks after workers that failed every ten seconds.
			d := startTLSNode(t, c.node)
			if log := pollWithMunin(t, d, account, c.master); strings.Contains(log, "load-load") {
				t.Errorf("the master got values:\n%s", log)
			}
			d.awaitLog(t, c.nodeSays)
			d.Stop(t)
		})
	}
}

// TestOpenSSLConnects lets openssl's client come in by a door that says STARTTLS for it.
func TestOpenSSLConnects(t *testing.T) {
	openssl := testenv.Program(t, "openssl")
	ca, stranger := wiretest.NewCA(t, "authority"), wiretest.NewCA(t, "stranger")
	d := startTLSNode(t, "tls paranoid\n"+keys(ca.Issue(t, "node"), ca.File))
	door := openDoor(t, d.addr)
	talk := func(client string, more ...string) string {
		args := append([]string{"s_client", "-connect", door, "-CAfile", ca.File, "-verify_return_error", "-quiet", "-cert", client, "-key", client}, more...)
		cmd := exec.CommandContext(t.Context(), openssl, args...)
		cmd.Stdin = strings.NewReader("list\nfetch users\nversion\nquit\n")
		out, _ := cmd.CombinedOutput() // It fails where the node refuses, and its text says more.
		return string(out)
	}
	client := ca.Issue(t, "client")
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		heard := talk(client, version)
		if !strings.Contains(heard, "\nload uptime users\n") || !strings.Contains(heard, "\n.\nmunins node on node1.example.com") {
			t.Errorf("%s: heard %s", version, heard)
		}
		if heard := talk(stranger.Issue(t, "spy"), version); strings.Contains(heard, "load uptime") || !strings.Contains(heard, "alert") {
			t.Errorf("%s: a stranger heard %s", version, heard)
		}
	}
	if heard := talk(client, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"); strings.Contains(heard, "load uptime") {
		t.Errorf("TLS 1.1 was accepted: %s", heard)
	}
	d.Stop(t)
}

// openDoor is an address where everybody who connects finds a session of the node that is about to be encrypted.
func openDoor(t *testing.T, node string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { passThrough(t, client, node) })
		}
	})
	return listener.Addr().String()
}

func passThrough(t *testing.T, client net.Conn, node string) {
	t.Helper()
	defer client.Close()
	conn, err := net.DialTimeout("tcp", node, 10*time.Second)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	banner, _ := r.ReadString('\n')
	_, _ = io.WriteString(conn, "STARTTLS\n")
	if answer, err := r.ReadString('\n'); answer != "TLS OK\n" || !strings.HasPrefix(banner, "# munin node at ") {
		t.Errorf("the node said %q, %q, %v", banner, answer, err)
		return
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(client, r)
		_ = client.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, client)
	_ = conn.(*net.TCPConn).CloseWrite()
	<-over
}
