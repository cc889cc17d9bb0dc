{{- define "angarium.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "angarium.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "angarium.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "angarium.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "angarium.selector" -}}
app.kubernetes.io/name: {{ include "angarium.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "angarium.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "angarium.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "angarium.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "angarium.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "angarium.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* The names of the roles that are installed, and a check that one accepts and one delivers */ -}}
{{- define "angarium.roles" -}}
{{- $found := list -}}
{{- range $role := list "all" "api" "dispatch" -}}
{{- $one := index $.Values.roles $role -}}
{{- if or (gt (int $one.replicas) 0) (and (eq $role "api") $one.autoscaling.enabled) -}}
{{- $found = append $found $role -}}
{{- end -}}
{{- end -}}
{{- if not (or (has "all" $found) (and (has "api" $found) (has "dispatch" $found))) -}}
{{- fail "roles: set the replicas of `all`, or of both `api` and `dispatch`, to 1 or more" -}}
{{- end -}}
{{- join " " $found -}}
{{- end -}}

{{- /* Secrets are files: they are not in the environment, and a tool can replace them */ -}}
{{- define "angarium.secretEnv" -}}
- name: ANGARIUM_DATABASE_URL_FILE
  value: /etc/angarium/database-url
{{- if .Values.database.directKey }}
- name: ANGARIUM_DATABASE_DIRECT_URL_FILE
  value: /etc/angarium/database-direct-url
{{- end }}
{{- if .Values.database.replicaKey }}
- name: ANGARIUM_DATABASE_REPLICA_URL_FILE
  value: /etc/angarium/database-replica-url
{{- end }}
- name: ANGARIUM_JWT_SECRET_FILE
  value: /etc/angarium/jwt-secret
- name: ANGARIUM_SECRET_KEY_FILE
  value: /etc/angarium/secret-key
{{- end -}}

{{- define "angarium.env" -}}
{{ include "angarium.secretEnv" . }}
{{- range $name, $value := .Values.config }}
- name: {{ $name }}
  {{- /* Helm reads every number as a fraction, and would write 2097152 as 2.097152e+06 */}}
  {{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
  value: {{ $value | int64 | toString | quote }}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "angarium.mounts" -}}
- name: secrets
  mountPath: /etc/angarium
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "angarium.volumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ required "database.existingSecret: name the Secret with the URL of the database" .Values.database.existingSecret }}
          items:
            - {key: {{ .Values.database.key | quote }}, path: database-url}
            {{- with .Values.database.directKey }}
            - {key: {{ . | quote }}, path: database-direct-url}
            {{- end }}
            {{- with .Values.database.replicaKey }}
            - {key: {{ . | quote }}, path: database-replica-url}
            {{- end }}
      - secret:
          name: {{ required "secrets.existingSecret: name the Secret with the two secrets" .Values.secrets.existingSecret }}
          items:
            - {key: {{ .Values.secrets.jwtSecretKey | quote }}, path: jwt-secret}
            - {key: {{ .Values.secrets.secretKeyKey | quote }}, path: secret-key}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "angarium.migrateContainer" -}}
- name: migrate
  image: {{ include "angarium.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: ["migrate"]
  env:
    {{- include "angarium.env" . | nindent 4 }}
  resources: {{- toYaml .Values.migrate.resources | nindent 4 }}
  securityContext: {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts: {{- include "angarium.mounts" . | nindent 4 }}
{{- end -}}

{{- /* What a pod of any kind has in common */ -}}
{{- define "angarium.podSettings" -}}
serviceAccountName: {{ include "angarium.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
