package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/master/config"
	"corbie/munin"
)

type annotateFlags struct {
	kind, where, graph, at, until, by string
	url, tokenFile                    string
}

func (p *program) annotateCommand() *cobra.Command {
	var flags annotateFlags
	cmd := &cobra.Command{
		Use:   "annotate TEXT",
		Short: "Note what happened: a deploy, maintenance; it is shown on every graph that it touches",
		Long: `annotate tells the running master that something happened. It appears as a mark on
the graphs of the host or group that --where names, or on all, and on the page
"What changed".

A deploy script needs no corbie for it:

    curl -d kind=deploy -d where=shop -d text="shop 1.4" http://127.0.0.1:8080/api/annotations`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.annotate(cmd.Context(), strings.Join(args, " "), flags)
		},
	}
	cmd.Flags().StringVar(&flags.kind, "kind", "note", "note, deploy, maintenance or reboot")
	cmd.Flags().StringVar(&flags.where, "where", "", "host or group that it touches (default: everything)")
	cmd.Flags().StringVar(&flags.graph, "graph", "", "one graph of the host that --where names")
	cmd.Flags().StringVar(&flags.at, "at", "", `when: "14:05", "2026-11-21 14:05", now-10m (default: now)`)
	cmd.Flags().StringVar(&flags.until, "until", "", "until when, for what takes its time")
	cmd.Flags().StringVar(&flags.by, "by", "", "who says so")
	cmd.Flags().StringVar(&flags.url, "url", "", "address of the master (default: url or listen in the configuration)")
	cmd.Flags().StringVar(&flags.tokenFile, "token-file", "", "file that holds an API token")
	return cmd
}

func (p *program) annotate(ctx context.Context, text string, flags annotateFlags) error {
	base := flags.url
	if base == "" {
		conf, err := p.loadConfig(config.Flags{Tolerant: true})
		if err != nil {
			return err
		}
		if base = conf.URL; base == "" {
			base = "http://" + reachable(conf.Listen)
		}
	}
	form := url.Values{"text": {text}, "kind": {flags.kind}}
	for name, value := range map[string]string{"where": flags.where, "graph": flags.graph, "at": flags.at, "until": flags.until, "by": flags.by} {
		if value != "" {
			form.Set(name, value)
		}
	}
	body, err := post(ctx, strings.TrimSuffix(base, "/")+"/api/annotations", form, flags.tokenFile)
	if err != nil {
		return fmt.Errorf("annotate: %w", err)
	}
	var a munin.Annotation
	if err := json.Unmarshal(body, &a); err != nil {
		return fmt.Errorf("annotate: %s did not answer as a master does", base)
	}
	where := string(a.Where)
	if where == "" {
		where = "everything"
	}
	_, err = fmt.Fprintf(p.stdout, "%s on %s at %s: %s\n", a.Kind, where, a.From.Local().Format("2006-01-02 15:04:05"), a.Text)
	return err
}

// reachable is an address to connect to for one to listen on.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// post sends a form to a master and returns its answer.
func post(ctx context.Context, address string, form url.Values, tokenFile string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if tokenFile != "" {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: is the master running? --url says where", err)
	}
	defer answer.Body.Close()
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if err != nil {
		return nil, err
	}
	switch {
	case answer.StatusCode < 300:
		return body, nil
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode/100 == 3:
		return nil, errors.New("the master wants a sign-in: name a file with an API token by --token-file")
	}
	return nil, errors.New(munin.CleanText(strings.TrimSpace(string(body[:min(len(body), 300)]))))
}
