package route

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/prometheus/alertmanager/alert"
	amcommon "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/template"
	common "github.com/prometheus/common/config"
)

// newTemplate makes what Alertmanager's parts need for their JSON.
func newTemplate(external string) (*template.Template, error) {
	tmpl, err := template.FromGlobs(nil)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	if tmpl.ExternalURL, err = url.Parse(external); err != nil {
		return nil, fmt.Errorf("address of the pages: %w", err)
	}
	return tmpl, nil
}

// webhookSender posts by Alertmanager's own webhook notifier, so that whatever takes its JSON takes ours.
type webhookSender struct{ notifier *webhook.Notifier }

func newWebhook(w *Webhook, external string) (*webhookSender, error) {
	tmpl, err := newTemplate(external)
	if err != nil {
		return nil, err
	}
	client := common.DefaultHTTPClientConfig
	client.TLSConfig.InsecureSkipVerify = w.InsecureSkipVerify
	if w.Username != "" {
		client.BasicAuth = &common.BasicAuth{Username: w.Username, Password: common.Secret(w.Password)}
	}
	if w.Token != "" {
		client.Authorization = &common.Authorization{Type: "Bearer", Credentials: common.Secret(w.Token)}
	}
	if err := client.Validate(); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	// What it logs is only debugging, with the message's text.
	notifier, err := webhook.New(&webhook.WebhookConfig{
		NotifierConfig: amcommon.NotifierConfig{VSendResolved: true},
		HTTPConfig:     &client, URL: amcommon.SecretTemplateURL(w.URL), Timeout: orDefault(w.Timeout),
	}, tmpl, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return &webhookSender{notifier: notifier}, nil
}

func (w *webhookSender) send(ctx context.Context, m *message) (reply string, retry bool, err error) {
	if retry, err = w.notifier.Notify(ctx, m.plan.alerts...); err != nil {
		return "", retry, fmt.Errorf("webhook: %w", err)
	}
	return "accepted (2xx)", false, nil
}

// webhookJSON is the body that a webhook would get.
func webhookJSON(ctx context.Context, tmpl *template.Template, group string, alerts []*alert.Alert) ([]byte, error) {
	var buf bytes.Buffer
	err := json.NewEncoder(&buf).Encode(&webhook.Message{
		Version: "4", GroupKey: group,
		Data: notify.GetTemplateData(ctx, tmpl, alerts, slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return nil, fmt.Errorf("webhook JSON: %w", err)
	}
	return buf.Bytes(), nil
}
