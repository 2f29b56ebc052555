{{- define "slackwater.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "slackwater.name" .) .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "slackwater.name" .) | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "slackwater.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}

{{- define "slackwater.selector" -}}
app.kubernetes.io/name: {{ include "slackwater.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "slackwater.labels" -}}
{{ include "slackwater.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The configuration, read: what cannot be a cluster's is said before anything is applied. */}}
{{- define "slackwater.config" -}}
{{- $config := fromToml .Values.config -}}
{{- if hasKey $config "Error" -}}
{{ fail (printf "config is not TOML: %s" $config.Error) }}
{{- end -}}
{{- if not (dig "server" "database" "" $config) -}}
{{ fail "config: name [server] database: several pods need a ledger on PostgreSQL. For one pod with an embedded ledger there is deploy/kubernetes" }}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* Longer than the calls to engines ([worker] grace_seconds), answers that are being written (5 s), and the ledger's last words. */}}
{{- define "slackwater.stopSeconds" -}}
{{- $grace := dig "worker" "grace_seconds" 20.0 (include "slackwater.config" . | fromJson) -}}
{{- add (ceil $grace | int) 25 -}}
{{- end -}}

{{- define "slackwater.claim" -}}
{{ .Values.data.existingClaim | default (printf "%s-data" (include "slackwater.fullname" .)) }}
{{- end -}}

{{- define "slackwater.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "slackwater.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* The pools, each with what it does not say itself; as JSON, by name. */}}
{{- define "slackwater.pools" -}}
{{- $pools := dict -}}
{{- range $name, $pool := .Values.workers -}}
{{- $_ := set $pools $name (mergeOverwrite (deepCopy $.Values.worker) ($pool | default dict)) -}}
{{- end -}}
{{- if and (not $pools) (not .Values.server.sends) -}}
{{ fail "nobody would send: name a pool in workers, or set server.sends" }}
{{- end -}}
{{- $config := include "slackwater.config" . | fromJson -}}
{{- $known := list -}}
{{- range dig "deployments" list $config -}}
{{- $known = append $known (ternary .name (printf "%s/%s" .resource .name) (or (not .resource) (eq .resource "default"))) -}}
{{- end -}}
{{- /* With backend_hosts there are others, which the API has made. A worker looks for them in the ledger when it starts. */ -}}
{{- if not (dig "control_plane" "backend_hosts" list $config) -}}
{{- range $name, $pool := $pools -}}
{{- range $pool.deployments -}}
{{- if not (has . $known) -}}
{{ fail (printf "workers.%s names the deployment %s, and config has none that is called so; it has %s" $name . (join ", " $known)) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $pools -}}
{{- end -}}

{{/* What every container of ours has: image, variables, places, no rights. */}}
{{- define "slackwater.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.envFromSecrets }}
envFrom:
  {{- range . }}
  - secretRef:
      name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: data
    mountPath: /data
  - name: config
    mountPath: /etc/slackwater
    readOnly: true
  - name: scratch
    mountPath: /tmp
  {{- range .Values.fileSecrets }}
  - name: secret-{{ . }}
    mountPath: /run/secrets/slackwater/{{ . }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What every pod of ours has besides its container. */}}
{{- define "slackwater.pod" -}}
serviceAccountName: {{ include "slackwater.serviceAccount" . }}
automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: data
    persistentVolumeClaim:
      claimName: {{ include "slackwater.claim" . }}
  - name: config
    configMap:
      name: {{ include "slackwater.fullname" . }}
  - name: scratch
    emptyDir:
      sizeLimit: 256Mi
  {{- range .Values.fileSecrets }}
  - name: secret-{{ . }}
    secret:
      secretName: {{ . }}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Life: the event loop turns, also while a large ledger is brought up to date. Readiness: it should be given work. */}}
{{- define "slackwater.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* One more pod before one goes: at no time are there fewer than there should be. */}}
{{- define "slackwater.rollout" -}}
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxSurge: 1
    maxUnavailable: 0
{{- end -}}

{{/* A change of the configuration makes new pods. */}}
{{- define "slackwater.podAnnotations" -}}
slackwater/config: {{ sha256sum .Values.config }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}
