package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"corbie/internal/testenv"
	"corbie/munin/wire/wiretest"
)

const paranoid = "tls paranoid\ntls_verify_certificate yes\n"

// tlsKeys are the lines of a munin-node.conf or munin.conf about the files.
func tlsKeys(file, ca string) string {
	return fmt.Sprintf("tls_private_key %[1]s\ntls_certificate %[1]s\ntls_ca_certificate %[2]s\n", file, ca)
}

// startTLSNodes starts Debian's node and ours with the same lines in their configuration. Both serve the plugin uptime
// and nothing else.
func startTLSNodes(t *testing.T, lines string) map[string]string {
	t.Helper()
	program := testenv.Program(t, "munin-node")
	testenv.Root(t)
	plugins, dir := testenv.PublicDir(t), testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "uptime"),
		"#!/bin/sh\ncase $1 in config) echo graph_title Uptime; echo uptime.label uptime;; *) echo uptime.value 42;; esac\n", 0o755)
	nodes := map[string]string{"munin-node": testenv.FreeAddress(t, "tcp"), "corbie-node": testenv.FreeAddress(t, "tcp")}

	_, port, _ := net.SplitHostPort(nodes["munin-node"])
	conf := filepath.Join(dir, "munin-node.conf")
	testenv.WriteFile(t, conf, fmt.Sprintf("log_level 4\nlog_file %[1]s/node.log\npid_file %[1]s/node.pid\nbackground 0\nsetsid 0\n"+
		"user root\ngroup root\nhost_name node.test\nallow ^127\\.0\\.0\\.1$\nhost 127.0.0.1\nport %[2]s\n"+
		"ignore_file ^(?!uptime$)\n%[3]s", dir, port, lines), 0o644)
	start(t, "munin-node", nil, program, "--foreground", "--config", conf)

	conf = filepath.Join(dir, "node.conf")
	testenv.WriteFile(t, conf, "native no\nhost_name node.test\nstatedir "+dir+"\nservicedir "+plugins+"\n"+lines, 0o644)
	start(t, "corbie-node", nil, nodeProgram(t), "serve", "--config", conf, "--listen", nodes["corbie-node"])
	for _, address := range nodes {
		testenv.AwaitListener(t, address)
	}
	return nodes
}

// TestTheMasterPollsThroughTLS is our master against Debian's node and ours, which want every master to show a
// certificate of their CA.
func TestTheMasterPollsThroughTLS(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "Net::SSLeay", exec.CommandContext(t.Context(), "perl", "-MNet::SSLeay", "-e", "1").Run() == nil)
	ca, stranger := wiretest.NewCA(t, "authority"), wiretest.NewCA(t, "stranger")
	master, node, spy := ca.Issue(t, "master"), ca.Issue(t, "node"), stranger.Issue(t, "spy")
	const advice = "the node refused the certificate of this side, or that there is none; its log says why"
	for name, address := range startTLSNodes(t, paranoid+tlsKeys(node, ca.File)) {
		poll := func(conf string) (said string, code int) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "corbie.yml")
			testenv.WriteFile(t, file, fmt.Sprintf("hosts:\n  node.test: {address: \"%s\", tls: {%s}}\n", address, conf), 0o644)
			out, talk, code := corbie(t, "poll", "node.test", "--config", file)
			return out + talk, code
		}
		own := fmt.Sprintf("certificate: %s, ca: %s", master, ca.File)
		for _, mode := range []string{"paranoid", "enabled", "auto"} {
			if said, code := poll("mode: " + mode + ", " + own); code != exitOK || !strings.Contains(said, "uptime  uptime") || !strings.Contains(said, "node node.test, encrypted;") {
				t.Errorf("%s, %s: exit %d\n%s", name, mode, code, said)
			}
		}
		if said, code := poll(`mode: paranoid, match: "/CN=node\\s", ` + own); code != exitOK {
			t.Errorf("%s, the node's name fits: exit %d\n%s", name, code, said)
		}
		for conf, want := range map[string]string{
			"mode: disabled": "the node wants TLS; set tls for this host",
			"mode: enabled":  advice,
			fmt.Sprintf("mode: paranoid, certificate: %s, ca: %s", spy, ca.File):          advice,
			fmt.Sprintf("mode: paranoid, certificate: %s, ca: %s", master, stranger.File): `the certificate of "/C=NO/O=Test/CN=node" is not trusted: x509: certificate signed by unknown authority; the file of the CA must hold`,
			`mode: paranoid, match: "/CN=other\\s", ` + own:                               `tls_match does not fit the certificate of "/C=NO/O=Test/CN=node"`,
		} {
			if said, code := poll(conf); code != exitFailed || !strings.Contains(said, want) || strings.Contains(said, "uptime  uptime") {
				t.Errorf("%s, %s: exit %d, want %q\n%s", name, conf, code, want, said)
			} else {
				t.Logf("%s, %s:\n%s", name, conf, said)
			}
		}
	}
}

// TestAMasterWithAMuninConfStoresThroughTLS is the way of a Munin set-up that changes its master.
func TestAMasterWithAMuninConfStoresThroughTLS(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewCA(t, "authority")
	nodes := startTLSNodes(t, paranoid+tlsKeys(ca.Issue(t, "node"), ca.File))
	text := paranoid + tlsKeys(ca.Issue(t, "munin"), ca.File)
	for name, address := range nodes {
		host, port, _ := net.SplitHostPort(address)
		text += fmt.Sprintf("[test;%s]\naddress %s\nport %s\nuse_node_name yes\n", name, host, port)
	}
	conf, data := filepath.Join(t.TempDir(), "munin.conf"), t.TempDir()
	testenv.WriteFile(t, conf, text, 0o644)
	p := start(t, "corbie serve", nil, "corbie", "serve", "--munin-conf", conf, "--data", data, "--listen", "127.0.0.1:0", "--interval", "1s")
	p.WaitFor(t, "listening")
	for name := range nodes {
		testenv.Eventually(t, name+" is stored", func() bool {
			out, _, code := corbie(t, "export", name, "--data", data, "--from", "now-1h")
			return code == exitOK && strings.Contains(out, ",uptime,uptime,")
		})
	}
}
