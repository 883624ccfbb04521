package plugins_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/plugins"
)

// serve answers one master after the other as a node whose only plugins are those of the set.
func serve(ctx context.Context, listener net.Listener, set *plugins.Set, capabilities string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		answer(ctx, conn, set, capabilities)
		conn.Close()
	}
}

func answer(ctx context.Context, conn net.Conn, set *plugins.Set, capabilities string) {
	fmt.Fprint(conn, "# munin node at server\n")
	env := map[string]string{"MUNIN_CAP_MULTIGRAPH": "1"}
	commands := bufio.NewScanner(conn)
	for commands.Scan() {
		words := strings.Fields(commands.Text() + " . .")
		switch words[0] {
		case "cap":
			fmt.Fprintf(conn, "cap %s\n", capabilities)
			if strings.Contains(capabilities, "dirtyconfig") {
				env["MUNIN_CAP_DIRTYCONFIG"] = "1"
			}
		case "nodes":
			fmt.Fprint(conn, "server\n.\n")
		case "list":
			fmt.Fprintln(conn, strings.Join(set.Names(), " "))
		case "config", "fetch":
			verb := strings.TrimPrefix(words[0], "fetch")
			out, err := set.Run(ctx, words[1], verb, env)
			if err != nil {
				fmt.Fprintf(conn, "# Bad exit\n.\n")
				continue
			}
			fmt.Fprintf(conn, "%s.\n", out)
		case "quit":
			return
		default:
			fmt.Fprintln(conn, "# Unknown command. Try cap, list, nodes, config, fetch, version or quit")
		}
	}
}

// TestDebiansMasterTakesEveryPlugin polls the plugins of a made-up server with Debian's munin-update, which must
// not complain and must keep each field.
func TestDebiansMasterTakesEveryPlugin(t *testing.T) {
	const program = "/usr/share/munin/munin-update"
	testenv.Program(t, program)
	for _, capabilities := range []string{"multigraph", "multigraph dirtyconfig"} {
		t.Run(capabilities, func(t *testing.T) {
			dir := testenv.PublicDir(t)
			set := machine(t, "server")
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				serve(t.Context(), listener, set, capabilities)
			}()
			defer func() { listener.Close(); <-served }()

			config := fmt.Sprintf("dbdir %[1]s\nlogdir %[1]s\nrundir %[1]s\nhtmldir %[1]s\n[server]\naddress 127.0.0.1\nport %[2]d\nuse_node_name yes\n",
				dir, listener.Addr().(*net.TCPAddr).Port)
			file := filepath.Join(dir, "munin.conf")
			if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, program, "--config", file, "--nofork")
			if os.Getuid() == 0 { // it refuses to run as root
				const nobody = 65534
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
				if err := os.Chown(dir, nobody, nobody); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("munin-update: %v: %s", err, out)
			}
			checkMuninFiles(t, dir, set)
		})
	}
}

// checkMuninFiles wants a log without complaints, and a file for each field of each plugin.
func checkMuninFiles(t *testing.T, dir string, set *plugins.Set) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, "munin-update.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "[ERROR] Tuning ") {
			continue // it says so of every new field, whose file it has yet to make
		}
		if strings.Contains(line, "[WARNING]") || strings.Contains(line, "[ERROR]") || strings.Contains(line, "[FATAL]") {
			t.Errorf("munin-update says %s", line)
		}
	}
	kept := 0
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".rrd") {
			kept++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, name := range set.Names() {
		for _, g := range munin.ParseConfig(name, run(t, set, name, "config", nil)).Graphs {
			want += len(g.Fields)
		}
	}
	if kept != want || want < 100 {
		t.Errorf("munin-update keeps %d fields of %d:\n%s", kept, want, log)
	}
}
