package main_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/node/snmp"
)

// startSNMPAgent starts Net-SNMP's agent on a free port of the loopback interface and returns the port.
func startSNMPAgent(t *testing.T) (port string) {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := conn.LocalAddr().(*net.UDPAddr)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.conf") // What snmpd keeps is in snmpd.conf.
	testenv.WriteFile(t, config, fmt.Sprintf("agentAddress udp:%s\nrocommunity secret 127.0.0.1\ncreateUser sealed SHA signature2 AES sealing002\nrouser sealed priv\n"+
		"createUser old MD5 signature3 DES sealing003\nrouser old priv\ncreateUser signed SHA signature4\nrouser signed auth\n", address), 0o600)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/usr/sbin/snmpd", "-f", "-LE", "3", "-C", "-c", config)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "SNMP_PERSISTENT_DIR=" + dir, "MIBS="}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // It has nothing to keep.
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(testenv.Patience); ; {
		session, err := snmp.Dial(t.Context(), "127.0.0.1", snmp.Options{Port: uint16(address.Port), Community: "secret", Timeout: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		_, ok, err := session.Value(t.Context(), "1.3.6.1.2.1.1.1.0")
		_ = session.Close() // Nothing was written to it.
		if ok && err == nil {
			return fmt.Sprint(address.Port)
		}
		if time.Now().After(deadline) {
			t.Fatalf("snmpd does not answer: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestSuggestsSNMPPluginsAsMuninNodeConfigureDoes lets both programs ask a real SNMP agent what it offers.
func TestSuggestsSNMPPluginsAsMuninNodeConfigureDoes(t *testing.T) {
	t.Parallel()
	_, err := os.Stat(debianConfigure)
	testenv.Need(t, "munin-node-configure (Debian's munin-node)", err == nil)
	_, err = os.Stat("/usr/sbin/snmpd")
	testenv.Need(t, "snmpd", err == nil)
	err = exec.CommandContext(t.Context(), "perl", "-MNet::SNMP", "-MDigest::HMAC", "-MCrypt::DES", "-MCrypt::Rijndael", "-e", "1").Run()
	testenv.Need(t, "Net::SNMP with ciphers (Debian's libnet-snmp-perl, libdigest-hmac-perl, libcrypt-des-perl, libcrypt-rijndael-perl)", err == nil)
	testenv.Need(t, "root, to run plugins as others", os.Getuid() == 0)
	port, services := startSNMPAgent(t), t.TempDir()
	for name, plugin := range map[string]string{"snmp_127.0.0.1_load": "snmp__load", "snmp_127.0.0.1_if_99": "snmp__if_"} {
		if err := os.Symlink(filepath.Join(debianLibrary, plugin), filepath.Join(services, name)); err != nil {
			t.Fatal(err)
		}
	}
	// A library without all the other plugins, as munin-node-configure looks into each of them every time.
	library := testenv.PublicDir(t)
	plugins, err := filepath.Glob(filepath.Join(debianLibrary, "snmp__*"))
	if err != nil || len(plugins) < 20 {
		t.Fatalf("Debian's SNMP plugins are %q, %v", plugins, err)
	}
	for _, plugin := range plugins {
		if err := os.Symlink(plugin, filepath.Join(library, filepath.Base(plugin))); err != nil {
			t.Fatal(err)
		}
	}
	ask := []string{"--snmp", "127.0.0.1", "--snmpport", port, "--servicedir", services, "--libdir", library}
	ours := func(args ...string) string {
		all := append([]string{"configure", "--config", "/etc/munin/munin-node.conf"}, ask...)
		return runConfigure(t, "corbie-node", append(all, args...)...)
	}
	var commands string
	for _, args := range [][]string{
		{"--snmpcommunity", "secret", "--shell", "--remove-also"},
		{"--snmpversion", "3", "--snmpusername", "signed", "--snmpauthpass", "signature4", "--snmpauthproto", "sha", "--shell"},
		{"--snmpversion", "3", "--snmpusername", "old", "--snmpauthpass", "signature3", "--snmpprivpass", "sealing003", "--shell"},
		{
			"--snmpversion", "3", "--snmpusername", "sealed", "--snmpauthpass", "signature2", "--snmpauthproto", "sha",
			"--snmpprivpass", "sealing002", "--snmpprivproto", "aes", "--shell",
		},
		{"--snmpcommunity", "secret", "--shell", "--snmpversion", "1"},
		{"--snmpcommunity", "secret", "--shell", "--snmpversion", "2c"},
	} {
		var theirs string
		for range 3 { // An agent on a busy machine may answer later than either program waits.
			commands, theirs = ours(args...), runConfigure(t, debianConfigure, append(ask, args...)...)
			if commands == theirs {
				break
			}
		}
		if commands != theirs {
			t.Errorf("%q: we print:\n%s\nmunin-node-configure:\n%s", args, commands, theirs)
		}
	}
	if strings.Count(commands, "\n") < 5 || !strings.Contains(commands, "/snmp_127.0.0.1_if_1'") {
		t.Errorf("only these are suggested:\n%s", commands)
	}
	t.Logf("%d commands, the same as munin-node-configure's in versions 1, 2c and 3", strings.Count(commands, "\n"))

	out, err := exec.CommandContext(t.Context(), "corbie-node", append([]string{"configure", "--config", "/etc/munin/munin-node.conf", "--snmpcommunity", "wrong"}, ask...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "# 127.0.0.1: ") || !strings.Contains(string(out), "no SNMP agent answers") {
		t.Errorf("with a wrong community: %v, %s", err, out)
	}
}
