{{/* The name of everything in the release. */}}
{{- define "leakscan.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "leakscan.selector" -}}
app.kubernetes.io/name: leakscan
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "leakscan.labels" -}}
{{ include "leakscan.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- if not .Values.plain }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}
{{- end }}

{{- define "leakscan.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end }}

{{- define "leakscan.tlsSecret" -}}
{{- default (printf "%s-tls" (include "leakscan.name" .)) .Values.tls.existingSecret -}}
{{- end }}

{{/* The names that the certificate must have. */}}
{{- define "leakscan.dnsNames" -}}
{{- $name := include "leakscan.name" . -}}
- {{ $name }}.{{ .Release.Namespace }}.svc
- {{ $name }}.{{ .Release.Namespace }}.svc.cluster.local
- {{ $name }}.{{ .Release.Namespace }}
{{- range .Values.tls.extraNames }}
- {{ . }}
{{- end }}
{{- end }}

{{/* Exactly one way to a certificate, said clearly if there is another number of them. */}}
{{- define "leakscan.checkTls" -}}
{{- $ways := 0 -}}
{{- if .Values.tls.certManager.enabled }}{{ $ways = add1 $ways }}{{ end -}}
{{- if .Values.tls.generate }}{{ $ways = add1 $ways }}{{ end -}}
{{- if .Values.tls.existingSecret }}{{ $ways = add1 $ways }}{{ end -}}
{{- if ne (int $ways) 1 -}}
{{- fail "tls: choose one of certManager.enabled, generate and existingSecret" -}}
{{- end -}}
{{- if and .Values.tls.existingSecret .Values.webhook.enabled (not .Values.tls.caBundle) -}}
{{- fail "tls.existingSecret needs tls.caBundle, the certificate authority in PEM, for the API server to trust" -}}
{{- end -}}
{{- end }}

{{/* Namespaces that are never judged: a cluster must be able to start the judge and what it stands on. */}}
{{- define "leakscan.exempt" -}}
{{- toYaml (uniq (concat (list .Release.Namespace "kube-system" "kube-node-lease") .Values.webhook.exemptNamespaces)) -}}
{{- end }}
