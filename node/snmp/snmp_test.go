package snmp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/node/snmp"
)

const (
	sysDescr = "1.3.6.1.2.1.1.1.0"
	ifIndex  = "1.3.6.1.2.1.2.2.1.1"
	ifDescr  = "1.3.6.1.2.1.2.2.1.2"
)

// startAgent starts Net-SNMP's agent on a free port and returns the port.
func startAgent(t *testing.T) uint16 {
	t.Helper()
	program := testenv.Program(t, "snmpd")
	_, port, _ := net.SplitHostPort(testenv.FreeAddress(t, "udp"))
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.conf") // What snmpd keeps is in snmpd.conf.
	text := fmt.Sprintf("agentAddress udp:127.0.0.1:%s\n[snmp] persistentDir %s\nsysDescr A test\nrocommunity secret 127.0.0.1\n"+
		"createUser open\ncreateUser signed SHA signature1\ncreateUser sealed MD5 signature2 DES sealing002\n"+
		"createUser modern SHA signature3 AES sealing003\ncreateUser single MD5 both-the-same DES both-the-same\n"+
		"rouser open noauth\nrouser signed auth\nrouser sealed priv\nrouser modern priv\nrouser single priv\n", port, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-f", "-LE", "3", "-C", "-c", config, "-I", "-smux,-smuxEntry")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "SNMP_PERSISTENT_DIR=" + dir, "MIBS="}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // It has nothing to keep.
		_ = cmd.Wait()
	})
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	options := snmp.Options{Port: uint16(number), Community: "secret", Timeout: 100 * time.Millisecond}
	for deadline := time.Now().Add(testenv.Patience); ; {
		session, err := snmp.Dial(t.Context(), "127.0.0.1", options)
		if err != nil {
			t.Fatal(err)
		}
		_, ok, err := session.Value(t.Context(), sysDescr)
		_ = session.Close() // Nothing was written to it.
		if err == nil && ok {
			return uint16(number)
		}
		if time.Now().After(deadline) {
			t.Fatalf("snmpd does not answer: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func open(t *testing.T, o snmp.Options) *snmp.Session {
	t.Helper()
	s, err := snmp.Dial(t.Context(), "127.0.0.1", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // Nothing was written to it.
	return s
}

func TestAsksARealAgentInAllVersions(t *testing.T) {
	port := startAgent(t)
	for name, o := range map[string]snmp.Options{
		"version 1":               {Version: "1", Community: "secret"},
		"version 2c":              {Version: "2c", Community: "secret"},
		"the default version":     {Community: "secret"},
		"version 3":               {Version: "3", User: "open"},
		"version 3, signed":       {Version: "3", User: "signed", AuthPassword: "signature1", AuthProtocol: "SHA"},
		"version 3, sealed":       {Version: "3", User: "sealed", AuthPassword: "signature2", PrivPassword: "sealing002"},
		"version 3, AES":          {Version: "3", User: "modern", AuthPassword: "signature3", AuthProtocol: "sha", PrivPassword: "sealing003", PrivProtocol: "aes"},
		"version 3, one password": {Version: "3", User: "single", PrivPassword: "both-the-same"},
	} {
		t.Run(name, func(t *testing.T) {
			o.Port = port
			if err := o.Check(); err != nil {
				t.Fatal(err)
			}
			s := open(t, o)
			if value, ok, err := s.Value(t.Context(), sysDescr); value != "A test" || !ok || err != nil {
				t.Errorf("sysDescr is %q, %v, %v", value, ok, err)
			}
			for _, none := range []string{"1.3.6.1.2.1.1.99.0", "1.3.6.1.2.1.1", "1.3.9.9"} {
				if value, ok, err := s.Value(t.Context(), none); ok || err != nil {
					t.Errorf("%s is %q, %v", none, value, err)
				}
			}
			indices, err := s.Column(t.Context(), ifIndex)
			names, err2 := s.Column(t.Context(), ifDescr)
			if err != nil || err2 != nil || len(indices) == 0 || len(names) != len(indices) || names["1"] != "lo" || indices["1"] != "1" {
				t.Errorf("interfaces %v, %v, %v, %v", indices, names, err, err2)
			}
			if none, err := s.Column(t.Context(), "1.3.6.1.2.1.2.99"); len(none) != 0 || err != nil {
				t.Errorf("a table that is not there: %v, %v", none, err)
			}
		})
	}
}

func TestAWrongSecretGetsNothing(t *testing.T) {
	port := startAgent(t)
	for name, o := range map[string]snmp.Options{
		"another community": {Community: "public"},
		"a wrong password":  {Version: "3", User: "signed", AuthPassword: "signature9", AuthProtocol: "sha"},
		"another protocol":  {Version: "3", User: "signed", AuthPassword: "signature1", AuthProtocol: "md5"},
		"a stranger":        {Version: "3", User: "stranger"},
		"no seal":           {Version: "3", User: "sealed", AuthPassword: "signature2"},
	} {
		o.Port, o.Timeout = port, 100*time.Millisecond
		if value, ok, err := open(t, o).Value(t.Context(), sysDescr); ok {
			t.Errorf("%s: got %q, %v", name, value, err)
		}
	}
}

func TestAHostThatDoesNotAnswerIsGivenUp(t *testing.T) {
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	port := uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	begin := time.Now()
	s := open(t, snmp.Options{Port: port, Timeout: 50 * time.Millisecond})
	if _, _, err := s.Value(t.Context(), sysDescr); err == nil {
		t.Error("somebody answered")
	}
	if _, err := s.Column(t.Context(), ifDescr); err == nil {
		t.Error("somebody answered")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	for want, o := range map[string]snmp.Options{
		"want 1, 2c or 3":   {Version: "2"},
		"name of a user":    {Version: "3"},
		"are for version 3": {User: "somebody"},
		"want md5, sha":     {Version: "3", User: "x", AuthProtocol: "rot13"},
		"want des, aes":     {Version: "3", User: "x", PrivProtocol: "rot13"},
		"want udp":          {Domain: "pigeon"},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}
