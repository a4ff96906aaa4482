"""Credential files of every kind that is parsed, with a place for the secret; the secrets are made when tests run.

In a text, `<P>` stands for the password, `<BASIC>` for the base64 of `ci:` and the password, `<B64>` for the base64 of
the password, `<HEX64>` and `<HEX32>` for hexadecimal digits made from it.
"""

from __future__ import annotations

import base64
import hashlib
import random
from dataclasses import dataclass

_WORDS = ("biscuit", "harbour", "marmot", "pencil", "thicket", "walnut", "lantern", "orchard")


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        name: what docs/content.md calls it; the id of its test.
        path: in the image.
        text: with placeholders.
        stands: the placeholder whose text is the secret, as it stands in the file.
        beside: what evidence has to name: user, host or profile.
        gated: whether it gates; hashes only inform.
    """

    name: str
    path: str
    text: str
    stands: str = "<P>"
    beside: tuple[str, ...] = ()
    gated: bool = True

    def values(self) -> dict[str, str]:
        """What the placeholders stand for: a password as people choose them, and what is made of it."""
        chance = random.Random(f"credential file {self.name}")
        word = chance.choice(_WORDS) + chance.choice(_WORDS).capitalize()
        password = f"{word}{chance.randrange(17, 98)}"
        digest = hashlib.sha256(password.encode()).hexdigest()
        return {
            "<P>": password,
            "<BASIC>": base64.b64encode(f"ci:{password}".encode()).decode(),
            "<B64>": base64.b64encode(password.encode()).decode(),
            "<HEX64>": digest,
            "<HEX32>": digest[:32],
            "<APR1>": f"$apr1$Zk3iJq9w${digest[:22]}",
            "<SHA1>": "{SHA}"
            + base64.b64encode(hashlib.sha1(digest.encode(), usedforsecurity=False).digest()).decode(),
            "<CRYPT>": f"$6$Zk3iJq9w${digest + digest[:22]}",
            "<JENKINS>": "{" + base64.b64encode(hashlib.sha512(digest.encode()).digest()).decode() + "}",
            "<TOKEN>": base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("="),
        }

    def secret(self) -> str:
        """The secret as it stands in the file."""
        return self.values()[self.stands]

    def content(self) -> str:
        """The file's text."""
        text = self.text
        for placeholder, value in self.values().items():
            text = text.replace(placeholder, value)
        return text


CASES = (
    Case("netrc", "root/.netrc", "machine pypi.shop.io\nlogin ci\npassword <P>\n", beside=("ci", "pypi.shop.io")),
    Case("netrc on one line", "root/_netrc", "default login ci password <P>\n", beside=("ci",)),
    Case("pgpass", "root/.pgpass", "# hosts\ndb.shop.io:5432:*:app:<P>\n", beside=("app", "db.shop.io")),
    Case(
        "my.cnf",
        "root/.my.cnf",
        '[client]\nuser = app\npassword = "<P>"\nhost=db.shop.io\n',
        beside=("app", "db.shop.io"),
    ),
    Case("mysql.cnf", "etc/mysql/debian.cnf", "[client]\nuser=maint\npassword=<P>\n", beside=("maint",)),
    Case("npmrc token", "root/.npmrc", "//npm.shop.io/:_authToken=<TOKEN>\n", "<TOKEN>", ("npm.shop.io",)),
    Case("npmrc basic", "app/.npmrc", "//npm.shop.io/:_auth = <BASIC>\n", "<BASIC>", ("npm.shop.io", "ci")),
    Case(
        "npmrc password",
        "srv/.npmrc",
        "//npm.shop.io/:username=ci\n//npm.shop.io/:_password=<B64>\n",
        "<B64>",
        ("npm.shop.io", "ci"),
    ),
    Case(
        "yarnrc.yml",
        "app/.yarnrc.yml",
        'npmScopes:\n  shop:\n    npmRegistryServer: "https://npm.shop.io"\n    npmAuthToken: <TOKEN>\n',
        "<TOKEN>",
    ),
    Case("yarnrc.yml ident", "srv/.yarnrc.yml", "npmAuthIdent: ci:<P>\n"),
    Case(
        "pypirc",
        "root/.pypirc",
        "[distutils]\nindex-servers = shop\n[shop]\nrepository = https://pypi.shop.io/\n"
        "username = ci\npassword = <P>\n",
        beside=("ci", "https://pypi.shop.io/"),
    ),
    Case(
        "pip.conf",
        "etc/pip.conf",
        "[global]\nextra-index-url =\n    https://ci:<P>@pypi.shop.io/simple\n",
        beside=("ci", "pypi.shop.io"),
    ),
    Case(
        "pip.conf token",
        "root/.config/pip/pip.conf",
        "[global]\nindex-url = https://<TOKEN>@pypi.shop.io/simple\n",
        "<TOKEN>",
        ("pypi.shop.io",),
    ),
    Case(
        "uv",
        "root/.config/uv/uv.toml",
        '[[index]]\nname = "shop"\nurl = "https://ci:<P>@pypi.shop.io/simple"\n',
        beside=("ci", "pypi.shop.io"),
    ),
    Case(
        "uv credentials",
        "root/.local/share/uv/credentials/credentials.toml",
        '[[credential]]\nservice = "https://pypi.shop.io"\nusername = "ci"\nscheme = "basic"\npassword = "<P>"\n',
        beside=("ci",),
    ),
    Case(
        "poetry",
        "root/.config/pypoetry/auth.toml",
        '[http-basic.shop]\nusername = "ci"\npassword = "<P>"\n\n[pypi-token]\n',
        beside=("ci",),
    ),
    Case("poetry token", "home/ci/.config/pypoetry/auth.toml", '[pypi-token]\nshop = "<TOKEN>"\n', "<TOKEN>"),
    Case("conda", "root/.condarc", "channels:\n  - https://ci:<P>@conda.shop.io/main\n", beside=("ci",)),
    Case(
        "docker config",
        "root/.docker/config.json",
        '{"auths": {"registry.shop.io": {"auth": "<BASIC>"}}}\n',
        "<BASIC>",
        ("registry.shop.io", "ci"),
    ),
    Case(
        "docker config token",
        "home/ci/.docker/config.json",
        '{"auths": {"registry.shop.io": {"identitytoken": "<TOKEN>"}}}\n',
        "<TOKEN>",
        ("registry.shop.io",),
    ),
    Case(
        "containers auth.json",
        "run/containers/0/auth.json",
        '{\n\t"auths": {\n\t\t"quay.shop.io": {\n\t\t\t"auth": "<BASIC>"\n\t\t}\n\t}\n}\n',
        "<BASIC>",
        ("quay.shop.io", "ci"),
    ),
    Case("dockercfg", "root/.dockercfg", '{"registry.shop.io": {"username": "ci", "password": "<P>"}}', beside=("ci",)),
    Case(
        "containerd",
        "etc/containerd/config.toml",
        '[plugins."io.containerd.grpc.v1.cri".registry.configs."registry.shop.io".auth]\n'
        '  username = "ci"\n  password = "<P>"\n',
        beside=("ci",),
    ),
    Case(
        "k3s registries",
        "etc/rancher/k3s/registries.yaml",
        "configs:\n  registry.shop.io:\n    auth:\n      username: ci\n      password: <P>\n",
        beside=("ci",),
    ),
    Case(
        "aws credentials",
        "root/.aws/credentials",
        "[build]\naws_access_key_id = buildkeyid\naws_secret_access_key = <TOKEN>\n",
        "<TOKEN>",
        ("build",),
    ),
    Case(
        "aws session", "root/.aws/config", "[profile build]\naws_session_token=<HEX64>\n", "<HEX64>", ("profile build",)
    ),
    Case(
        "aws sso cache",
        "root/.aws/sso/cache/a1.json",
        '{"startUrl": "https://shop.io/start", "accessToken": "<TOKEN>", "expiresAt": "2031-01-01T00:00:00Z"}',
        "<TOKEN>",
    ),
    Case("boto", "root/.boto", "[Credentials]\ngs_oauth2_refresh_token = <TOKEN>\n", "<TOKEN>"),
    Case(
        "gcloud adc",
        "root/.config/gcloud/application_default_credentials.json",
        '{\n  "client_id": "x.apps.shop.io",\n  "client_secret": "<HEX32>",\n  "type": "authorized_user"\n}\n',
        "<HEX32>",
    ),
    Case(
        "gcloud adc refresh token",
        "home/ci/.config/gcloud/application_default_credentials.json",
        '{\n  "refresh_token": "<TOKEN>",\n  "type": "authorized_user"\n}\n',
        "<TOKEN>",
    ),
    Case(
        "gcloud properties",
        "root/.config/gcloud/configurations/config_default",
        "[proxy]\naddress = proxy.shop.io\nusername = ci\npassword = <P>\n",
        beside=("ci",),
    ),
    Case(
        "azure tokens",
        "root/.azure/accessTokens.json",
        '[{"tokenType": "Bearer", "refreshToken": "<TOKEN>", "userId": "ci@shop.io"}]',
        "<TOKEN>",
        ("ci@shop.io",),
    ),
    Case(
        "azure msal cache",
        "root/.azure/msal_token_cache.json",
        '{"RefreshToken": {"x-refreshtoken-": {"secret": "<TOKEN>", "home_account_id": "a.b"}}}',
        "<TOKEN>",
    ),
    Case(
        "azure service principal",
        "root/.azure/service_principal_entries.json",
        '[{"client_id": "b1", "tenant": "t1", "client_secret": "<P>"}]',
        beside=("b1",),
    ),
    Case(
        "kubeconfig token",
        "root/.kube/config",
        "apiVersion: v1\nkind: Config\nusers:\n- name: deployer\n  user:\n    token: <TOKEN>\n",
        "<TOKEN>",
        ("deployer",),
    ),
    Case(
        "kubeconfig password",
        "etc/kubernetes/admin.conf",
        "apiVersion: v1\nusers:\n- user:\n    username: admin\n    password: <P>\n  name: deployer\n",
        beside=("admin",),
    ),
    Case(
        "kubeconfig client key",
        "home/ci/.kube/config",
        "apiVersion: v1\nusers:\n- name: deployer\n  user:\n    client-certificate-data: <HEX64>\n"
        "    client-key-data: <B64>\n",
        "<B64>",
        ("deployer",),
    ),
    Case("git-credentials", "root/.git-credentials", "https://ci:<P>@git.shop.io\n", beside=("ci", "git.shop.io")),
    Case(
        "git remote",
        "app/.git/config",
        '[remote "origin"]\n\turl = https://ci:<P>@git.shop.io/shop/app.git\n',
        beside=("ci", "git.shop.io"),
    ),
    Case(
        "git insteadOf",
        "root/.gitconfig",
        '[url "https://ci:<P>@git.shop.io/"]\n\tinsteadOf = https://git.shop.io/\n',
        beside=("ci", "git.shop.io"),
    ),
    Case(
        "git token",
        "etc/gitconfig",
        '[url "https://<TOKEN>@git.shop.io/"]\n\tinsteadOf = https://git.shop.io/\n',
        "<TOKEN>",
        ("git.shop.io",),
    ),
    Case(
        "git token as user",
        "home/ci/.git-credentials",
        "https://<TOKEN>:x-oauth-basic@git.shop.io\n",
        "<TOKEN>",
        ("git.shop.io",),
    ),
    Case(
        "git extra header",
        "srv/app/.git/config",
        '[http "https://git.shop.io/"]\n\textraheader = AUTHORIZATION: basic <BASIC>\n',
        "<BASIC>",
    ),
    Case(
        "gitmodules", "app/.gitmodules", '[submodule "x"]\n\turl = https://ci:<P>@git.shop.io/x.git\n', beside=("ci",)
    ),
    Case(
        "gh", "root/.config/gh/hosts.yml", "git.shop.io:\n    user: ci\n    oauth_token: <TOKEN>\n", "<TOKEN>", ("ci",)
    ),
    Case("hub and glab", "root/.config/glab-cli/config.yml", "hosts:\n  git.shop.io:\n    token: <TOKEN>\n", "<TOKEN>"),
    Case(
        "maven settings",
        "root/.m2/settings.xml",
        "<settings><servers><server><id>nexus</id>\n<username>ci</username>\n<password><P></password>\n"
        "</server></servers></settings>\n",
        beside=("ci", "nexus"),
    ),
    Case(
        "maven passphrase",
        "usr/share/maven/conf/settings.xml",
        "<settings><servers>\n<server>\n<id>ssh</id><passphrase><P></passphrase></server></servers></settings>\n",
        beside=("ssh",),
    ),
    Case(
        "maven settings-security",
        "root/.m2/settings-security.xml",
        "<settingsSecurity>\n  <master>{<B64>}</master>\n</settingsSecurity>\n",
        "<B64>",
    ),
    Case("gradle", "root/.gradle/gradle.properties", "nexusUser=ci\nnexusPassword=<P>\n", beside=("ci",)),
    Case("gradle signing", "app/gradle.properties", "signing.keyId=1A2B3C4D\nsigning.password=<P>\n"),
    Case(
        "nuget",
        "root/.nuget/NuGet/NuGet.Config",
        '<configuration><packageSourceCredentials><shop>\n<add key="Username" value="ci" />\n'
        '<add key="ClearTextPassword" value="<P>" />\n</shop></packageSourceCredentials></configuration>\n',
        beside=("ci", "shop"),
    ),
    Case(
        "composer basic",
        "root/.composer/auth.json",
        '{"http-basic": {"repo.shop.io": {"username": "ci", "password": "<P>"}}}',
        beside=("ci", "repo.shop.io"),
    ),
    Case("composer token", "app/auth.json", '{"bearer": {"repo.shop.io": "<TOKEN>"}}', "<TOKEN>", ("repo.shop.io",)),
    Case("bundler", "usr/local/bundle/config", '---\nBUNDLE_GEMS__SHOP__IO: "ci:<P>"\n', beside=("ci",)),
    Case("gem", "root/.gem/credentials", "---\n:rubygems_api_key: <TOKEN>\n", "<TOKEN>"),
    Case(
        "cargo",
        "root/.cargo/credentials.toml",
        '[registries.shop]\ntoken = "<TOKEN>"\n',
        "<TOKEN>",
        ("registries.shop",),
    ),
    Case(
        "terraform state",
        "app/terraform.tfstate",
        '{"version": 4, "serial": 3, "lineage": "x", "resources": [{"type": "aws_db_instance", "instances": [\n'
        '{"attributes": {"address": "db.shop.io", "username": "app", "password": "<P>"}}]}]}',
        beside=("app",),
    ),
    Case("terraform variables", "app/prod.tfvars", 'region = "eu"\nmaster_password = "<P>"\n'),
    Case("terraform variables in JSON", "app/prod.auto.tfvars.json", '{"db_password": "<P>"}'),
    Case(
        "terraform credentials",
        "root/.terraform.d/credentials.tfrc.json",
        '{"credentials": {"app.terraform.io": {"token": "<TOKEN>"}}}',
        "<TOKEN>",
        ("app.terraform.io",),
    ),
    Case("terraformrc", "root/.terraformrc", 'credentials "tf.shop.io" {\n  token = "<TOKEN>"\n}\n', "<TOKEN>"),
    Case("ansible inventory", "etc/ansible/hosts", "[web]\nweb1 ansible_user=root ansible_ssh_pass=<P>\n"),
    Case("ansible variables", "app/group_vars/all.yml", "ansible_become_password: <P>\n"),
    Case("ansible vault password", "app/.vault_pass", "<P>\n"),
    Case("dotenv", "app/.env", "DB_HOST=db.shop.io\nDB_PASSWORD=<P>\n"),
    Case("dotenv quoted", "app/.env.production", "export SMTP_PASS='<P>'\n"),
    Case(
        "spring properties",
        "app/application-prod.properties",
        "spring.datasource.username=app\nspring.datasource.password=<P>\n",
        beside=("app",),
    ),
    Case(
        "spring yaml",
        "app/application.yml",
        "spring:\n  datasource:\n    username: app\n    password: <P>\n",
        beside=("app",),
    ),
    Case(
        "django",
        "app/shop/settings.py",
        "DATABASES = {\n    'default': {\n        'USER': 'app',\n        'PASSWORD': '<P>',\n    }\n}\n",
        beside=("app",),
    ),
    Case("django secret key", "app/mysite/settings.py", "SECRET_KEY = '<HEX32>@<HEX32>'\n", "<HEX32>"),
    Case(
        "rails database", "app/config/database.yml", "production:\n  username: app\n  password: <P>\n", beside=("app",)
    ),
    Case("rails secrets", "app/config/secrets.yml", "production:\n  secret_key_base: <HEX64>\n", "<HEX64>"),
    Case("rails master key", "app/config/master.key", "<HEX32>\n", "<HEX32>"),
    Case(
        "laravel",
        "app/config/database.php",
        "<?php return ['mysql' => ['username' => 'app',\n'password' => '<P>',]];\n",
        beside=("app",),
    ),
    Case(
        "wordpress",
        "var/www/html/wp-config.php",
        "<?php\ndefine('DB_USER', 'app');\ndefine( 'DB_PASSWORD', '<P>' );\n",
        beside=("app",),
    ),
    Case("node config", "app/config/production.json", '{"db": {"user": "app", "password": "<P>"}}', beside=("app",)),
    Case(
        "appsettings",
        "app/appsettings.Production.json",
        '{"ConnectionStrings": {"Default": "Server=db;Database=shop;User Id=app;Password=<P>;"}}',
    ),
    Case(
        "web.config",
        "app/web.config",
        '<configuration><appSettings>\n<add key="MailPassword" value="<P>" />\n</appSettings></configuration>\n',
    ),
    Case(
        "tomcat users",
        "usr/local/tomcat/conf/tomcat-users.xml",
        '<tomcat-users>\n<user username="admin" password="<P>" roles="manager-gui"/>\n</tomcat-users>\n',
        beside=("admin",),
    ),
    Case(
        "jetbrains data sources",
        "app/.idea/dataSources.xml",
        "<project>\n<jdbc-url>jdbc:postgresql://db.shop.io/shop?user=app&amp;password=<P></jdbc-url>\n</project>\n",
    ),
    Case(
        "ide run configuration",
        "app/.idea/runConfigurations/app.xml",
        '<component>\n<envs>\n<env name="DB_PASSWORD" value="<P>" />\n</envs>\n</component>\n',
    ),
    Case(
        "ide launch.json",
        "app/.vscode/launch.json",
        '{\n// comment\n"configurations": [{"env": {"DB_PASSWORD": "<P>"}}]}\n',
    ),
    Case(
        "filezilla",
        "root/.config/filezilla/sitemanager.xml",
        "<FileZilla3><Servers><Server>\n<Host>ftp.shop.io</Host><User>ci</User>\n"
        '<Pass encoding="base64"><B64></Pass></Server></Servers></FileZilla3>\n',
        "<B64>",
        ("ci", "ftp.shop.io"),
    ),
    Case(
        "filezilla plain",
        "root/.filezilla/recentservers.xml",
        "<FileZilla3><RecentServers><Server><Host>ftp.shop.io</Host><User>ci</User><Pass><P></Pass>"
        "</Server></RecentServers></FileZilla3>\n",
        beside=("ci", "ftp.shop.io"),
    ),
    Case(
        "rclone",
        "root/.config/rclone/rclone.conf",
        "[shop]\ntype = sftp\nhost = files.shop.io\nuser = ci\npass = <TOKEN>\n",
        "<TOKEN>",
        ("ci", "files.shop.io"),
    ),
    Case("s3cfg", "root/.s3cfg", "[default]\naccess_key = shopkey\nsecret_key = <TOKEN>\n", "<TOKEN>", ("shopkey",)),
    Case(
        "jenkins credentials",
        "var/jenkins_home/credentials.xml",
        "<c>\n<username>ci</username>\n<password><JENKINS></password>\n</c>\n",
        "<JENKINS>",
        ("ci",),
        gated=False,
    ),
    Case(
        "jenkins credentials in clear",
        "srv/jenkins/credentials.xml",
        "<c>\n<username>ci</username>\n<password><P></password>\n</c>\n",
        beside=("ci",),
    ),
    Case("jenkins master key", "var/jenkins_home/secrets/master.key", "<HEX64><HEX64><HEX64><HEX64>", "<HEX64>"),
    Case("jenkins first password", "var/jenkins_home/secrets/initialAdminPassword", "<HEX32>\n", "<HEX32>"),
    Case("mongodb key file", "srv/mongo/mongo-keyfile", "<HEX64>\n<HEX64>\n<HEX32>\n", "<HEX64>"),
    Case("zabbix shared key", "etc/zabbix/agent.psk", "<HEX64>\n", "<HEX64>"),
    Case("rsync password", "etc/rsync.pass", "<P>\n", "<P>"),
    Case("spring, not hashed", "srv/user/application.properties", "spring.security.user.password={noop}<P>\n"),
    Case("htpasswd", "etc/nginx/.htpasswd", "ci:<APR1>\n", "<APR1>", ("ci",), gated=False),
    Case("htpasswd sha", "etc/apache2/htpasswd", "ci:<SHA1>\n", "<SHA1>", ("ci",), gated=False),
    Case(
        "shadow",
        "etc/shadow",
        "root:*:19000:0:99999:7:::\nci:<CRYPT>:19000:0:99999:7:::\n",
        "<CRYPT>",
        ("ci",),
        gated=False,
    ),
    Case(
        "wpa_supplicant",
        "etc/wpa_supplicant/wpa_supplicant.conf",
        'network={\n    ssid="shop"\n    psk="<P>"\n}\n',
        beside=("shop",),
    ),
    Case(
        "wpa_supplicant hex",
        "etc/wpa_supplicant.conf",
        'network={\n    ssid="shop"\n    psk=<HEX64>\n}\n',
        "<HEX64>",
        ("shop",),
    ),
    Case(
        "network manager",
        "etc/NetworkManager/system-connections/shop.nmconnection",
        "[wifi]\nssid=shop\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=<P>\n",
    ),
    Case("openvpn login", "etc/openvpn/login.conf", "ci\n<P>\n", beside=("ci",)),
    Case(
        "openvpn inline login",
        "etc/openvpn/client.ovpn",
        "client\nremote vpn.shop.io\n<auth-user-pass>\nci\n<P>\n</auth-user-pass>\n",
        beside=("ci",),
    ),
    Case(
        "ssh config", "root/.ssh/config", "Host shop\n  User ci\n  ProxyCommand sshpass -p <P> ssh -W %h:%p bastion\n"
    ),
    Case("bash history", "root/.bash_history", "ls\nmysql -u app -p<P> shop\n"),
    Case("bash history sshpass", "home/ci/.bash_history", "sshpass -p '<P>' ssh ci@shop.io\n"),
    Case("bash history curl", "home/dev/.bash_history", "curl -u ci:<P> https://repo.shop.io/x\n"),
    Case("bash history export", "home/ops/.zsh_history", ": 1700000000:0;export PGPASSWORD=<P>\n"),
    Case("psql history", "root/.psql_history", "ALTER USER app WITH PASSWORD '<P>';\n"),
    Case("mysql history", "root/.mysql_history", "CREATE USER 'app'@'%' IDENTIFIED BY '<P>';\n"),
    Case("python history", "root/.python_history", "conn = connect(user='app', password='<P>')\n"),
    Case("systemd unit", "etc/systemd/system/app.service", '[Service]\nEnvironment="DB_PASSWORD=<P>" MODE=x\n'),
    Case(
        "supervisor",
        "etc/supervisor/conf.d/app.conf",
        '[program:app]\ncommand=/app\nenvironment=MODE="x",DB_PASSWORD="<P>"\n',
    ),
    Case(
        "supervisor inet", "etc/supervisord.conf", "[unix_http_server]\nusername = ci\npassword = <P>\n", beside=("ci",)
    ),
    Case("cron", "etc/cron.d/backup", "0 3 * * * root PGPASSWORD=<P> pg_dump -U app shop > /tmp/x\n"),
    Case(
        "compose",
        "app/docker-compose.yml",
        "services:\n  db:\n    environment:\n      POSTGRES_USER: app\n      POSTGRES_PASSWORD: <P>\n",
        beside=("app",),
    ),
    Case("compose list", "app/compose.yaml", "services:\n  db:\n    environment:\n      - POSTGRES_PASSWORD=<P>\n"),
    Case(
        "kubernetes secret",
        "app/k8s/secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  db-pass: <P>\n",
    ),
    Case(
        "kubernetes secret in base64",
        "app/k8s/data.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  db-pass: <B64>\n",
        "<B64>",
    ),
    Case(
        "helm values",
        "app/chart/values.yaml",
        "postgresql:\n  auth:\n    username: app\n    password: <P>\n",
        beside=("app",),
    ),
    Case("gitlab ci", "app/.gitlab-ci.yml", "variables:\n  DEPLOY_PASSWORD: <P>\n"),
    Case("github workflow", "app/.github/workflows/x.yml", 'jobs:\n  x:\n    env:\n      DEPLOY_PASSWORD: "<P>"\n'),
    Case("jenkinsfile", "app/Jenkinsfile", "environment {\n    DEPLOY_PASSWORD = '<P>'\n}\n"),
    Case(
        "apt auth.conf",
        "etc/apt/auth.conf.d/shop.conf",
        "machine apt.shop.io/debian login ci password <P>\n",
        beside=("ci", "apt.shop.io/debian"),
    ),
    Case(
        "apt sources.list",
        "etc/apt/sources.list.d/shop.list",
        "deb https://ci:<P>@apt.shop.io/debian bookworm main\n",
        beside=("ci", "apt.shop.io"),
    ),
    Case(
        "apt deb822",
        "etc/apt/sources.list.d/shop.sources",
        "Types: deb\nURIs: https://ci:<P>@apt.shop.io/debian\n",
        beside=("ci", "apt.shop.io"),
    ),
    Case(
        "yum repository",
        "etc/yum.repos.d/shop.repo",
        "[shop]\nbaseurl=https://rpm.shop.io\nusername=ci\npassword=<P>\n",
        beside=("ci",),
    ),
    Case("apk repositories", "etc/apk/repositories", "https://ci:<P>@apk.shop.io/main\n", beside=("ci", "apk.shop.io")),
    Case(
        "direct_url.json",
        "usr/lib/python3/dist-packages/x-1.dist-info/direct_url.json",
        '{"url": "https://ci:<P>@git.shop.io/x.git", "vcs_info": {"vcs": "git"}}',
        beside=("ci", "git.shop.io"),
    ),
    Case(
        "requirements", "app/requirements.txt", "--index-url https://ci:<P>@pypi.shop.io/simple\nx==1\n", beside=("ci",)
    ),
    Case(
        "lock file npm",
        "app/package-lock.json",
        '{"packages": {"node_modules/x": {"resolved": "https://ci:<P>@npm.shop.io/x.tgz"}}}',
        beside=("ci",),
    ),
    Case("lock file yarn", "app/yarn.lock", 'x@1:\n  resolved "https://ci:<P>@npm.shop.io/x.tgz#ab"\n', beside=("ci",)),
    Case(
        "lock file poetry",
        "app/poetry.lock",
        '[package.source]\nurl = "https://ci:<P>@pypi.shop.io/simple"\n',
        beside=("ci",),
    ),
    Case("lock file gem", "app/Gemfile.lock", "GEM\n  remote: https://ci:<P>@gems.shop.io/\n", beside=("ci",)),
    Case("redis.conf", "etc/redis/redis.conf", "bind 0.0.0.0\nrequirepass <P>\n"),
    Case("rabbitmq", "etc/rabbitmq/rabbitmq.conf", "default_user = app\ndefault_pass = <P>\n", beside=("app",)),
    Case(
        "odoo", "etc/odoo/odoo.conf", "[options]\ndb_user = app\ndb_password = <P>\nadmin_passwd = x\n", beside=("app",)
    ),
    Case("grafana", "etc/grafana/grafana.ini", "[security]\nadmin_user = ops\nadmin_password = <P>\n", beside=("ops",)),
    Case("postfix sasl", "etc/postfix/sasl_passwd", "[smtp.shop.io]:587 ci:<P>\n", beside=("ci",)),
    Case("msmtp", "root/.msmtprc", "host smtp.shop.io\nuser ci\npassword <P>\n", beside=("ci", "smtp.shop.io")),
    Case("ppp secrets", "etc/ppp/chap-secrets", '"ci" * "<P>" *\n', beside=("ci",)),
    Case("smb credentials", "etc/samba/.smbcredentials", "username=ci\npassword=<P>\n", beside=("ci",)),
    Case("databricks", "root/.databrickscfg", "[DEFAULT]\nhost = https://shop.io\ntoken = <TOKEN>\n", "<TOKEN>"),
    Case("snowflake", "root/.snowflake/connections.toml", '[shop]\nuser = "app"\npassword = "<P>"\n', beside=("app",)),
    Case("kaggle", "root/.kaggle/kaggle.json", '{"username":"ci","key":"<HEX32>"}', "<HEX32>", ("ci",)),
    Case("vault keys", "app/vault-init.json", '{"unseal_keys_b64": ["<B64>"], "root_token": "<TOKEN>"}', "<TOKEN>"),
    Case(
        "unattend",
        "app/unattend.xml",
        "<unattend><AutoLogon><Password><Value><P></Value></Password><Username>ci</Username></AutoLogon></unattend>",
    ),
    Case(
        "subversion", "root/.subversion/auth/svn.simple/1a", "K 8\npassword\nV 17\n<P>\nK 8\nusername\nV 2\nci\nEND\n"
    ),
    Case("curlrc", "root/.curlrc", 'silent\nuser = "ci:<P>"\n', beside=("ci",)),
    Case("curlrc option", "home/ci/.curlrc", "-u ci:<P>\n", beside=("ci",)),
    Case("curlrc proxy", "home/dev/.config/curlrc", "--proxy-user ci:<P>\n", beside=("ci",)),
    Case("curlrc bearer", "srv/.curlrc", "oauth2-bearer = <TOKEN>\n", "<TOKEN>"),
    Case("curlrc passphrase", "opt/.curlrc", "cert = ci.pem\npass <P>\n"),
    Case("pgbouncer", "etc/pgbouncer/userlist.txt", '"app" "<P>"\n', beside=("app",)),
    Case("pgbouncer hash", "srv/userlist.txt", '"app" "md5<HEX32>"\n', "<HEX32>", gated=False),
    Case("s3fs", "etc/passwd-s3fs", "shop:app:<TOKEN>\n", "<TOKEN>", ("app",)),
    Case("mutt", "root/.muttrc", 'set imap_user = "ci"\nset imap_pass = "<P>"\n', beside=("ci",)),
    Case(
        "offlineimap",
        "root/.offlineimaprc",
        "[Repository R]\nremotehost = imap.shop.io\nremoteuser = ci\nremotepass = <P>\n",
        beside=("ci", "imap.shop.io"),
    ),
    Case("exim", "etc/exim4/passwd.client", "# hosts\nsmtp.shop.io:ci:<P>\n", beside=("ci", "smtp.shop.io")),
    Case("dma", "etc/dma/auth.conf", "ci|smtp.shop.io:<P>\n", beside=("ci", "smtp.shop.io")),
    Case("l2tp secrets", "etc/xl2tpd/l2tp-secrets", "ci * <P> *\n", beside=("ci",)),
    Case("ipsec psk", "etc/ipsec.secrets", '10.0.0.1 vpn.shop.io : PSK "<P>"\n', beside=("10.0.0.1",)),
    Case("ipsec key", "opt/etc/ipsec.secrets", ': RSA gateway.pem "<P>"\n'),
    Case("ipsec eap", "etc/ipsec.d/ci.secrets", 'ci@shop.io : EAP "<P>"\n', beside=("ci@shop.io",)),
    Case("ipsec xauth", "srv/etc/ipsec.secrets", ': PSK 0s<B64>\n"C=x, CN=ci" : XAUTH "<P>"\n', beside=("C=x, CN=ci",)),
    Case("racoon", "etc/racoon/psk.txt", "# peers\n10.0.0.1\t<P>\n", beside=("10.0.0.1",)),
    Case("vpnc", "etc/vpnc/shop.conf", "IPSec gateway vpn.shop.io\nIPSec secret <P>\n"),
    Case("davfs2", "root/.davfs2/secrets", 'https://dav.shop.io/ ci "<P>"\n', beside=("ci", "https://dav.shop.io/")),
    Case("rsync", "etc/rsyncd.secrets", "ci:<P>\n", beside=("ci",)),
    Case(
        "cloudflared",
        "root/.cloudflared/0a1b2c3d-1234-4abc-9def-0a1b2c3d4e5f.json",
        '{"AccountTag": "x", "TunnelSecret": "<TOKEN>", "TunnelID": "y"}',
        "<TOKEN>",
    ),
    Case(
        "pulumi",
        "root/.pulumi/credentials.json",
        '{"current": "https://p.shop.io", "accessTokens": {"https://p.shop.io": "<TOKEN>"}}',
        "<TOKEN>",
    ),
    Case("tailscale", "var/lib/tailscale/tailscaled.state", '{"_machinekey": "<TOKEN>"}', "<TOKEN>"),
    Case("dbt", "root/.dbt/profiles.yml", "shop:\n  outputs:\n    p:\n      user: a\n      pass: <P>\n", beside=("a",)),
    Case("redis acl", "etc/redis/users.acl", "user default off\nuser app on ~* ><P> +@all\n", beside=("app",)),
    Case("slapd", "etc/ldap/slapd.conf", 'rootdn "cn=admin"\nrootpw <P>\n'),
    Case("pam ldap", "etc/pam_ldap.conf", "bindpw <P>\n"),
    Case("sssd", "etc/sssd/sssd.conf", "[domain/shop]\nldap_default_authtok = <P>\n"),
    Case("jaas", "etc/kafka/server_jaas.conf", 'Server {\n  Login required\n  user_ci="<P>";\n};\n', beside=("ci",)),
    Case("jmx", "etc/jmxremote.password", "# roles\nmonitorRole <P>\n", beside=("monitorRole",)),
    Case("squid", "etc/squid/squid.conf", "cachemgr_passwd <P> all\n"),
    Case("snmp community", "etc/snmp/snmpd.conf", "rwcommunity <P> 10.0.0.0/8\n"),
    Case("snmp user", "opt/snmpd.conf", 'createUser ci SHA "<P>" AES\n', beside=("ci",)),
    Case("consul", "etc/consul.d/acl.hcl", 'acl {\n  tokens {\n    agent = "<TOKEN>"\n  }\n}\n', "<TOKEN>"),
    Case("consul token", "root/.consul-token", "<TOKEN>\n", "<TOKEN>"),
    Case("nomad", "etc/nomad.d/nomad.hcl", 'server {\n  encrypt = "<TOKEN>"\n}\n', "<TOKEN>"),
    Case("knife", "root/.chef/knife.rb", 'knife[:vsphere_pass] = "<P>"\n'),
    Case("mosquitto", "etc/mosquitto/passwd", "app:$7$101$<HEX32>$<B64>\n", "<HEX32>", gated=False),
    Case("znc", "root/.znc/configs/znc.conf", "\t\tServer = irc.shop.io +6697 <P>\n", beside=("irc.shop.io",)),
    Case("hexchat", "root/.config/hexchat/servlist.conf", "v=2\n\nN=Shop\nP=<P>\nL=6\n"),
    Case("weechat", "root/.weechat/sec.conf", '[crypt]\ncipher = aes256\n\n[data]\n__passphrase__ = off\nx = "<P>"\n'),
    Case("turn", "etc/turnserver.conf", "listening-port=3478\nuser=ci:<P>\nrealm=shop.io\n", beside=("ci",)),
    Case("keepalived", "etc/keepalived/keepalived.conf", "  authentication {\n    auth_type PASS\n    auth_pass <P>\n"),
    Case("shiro", "etc/shiro.ini", "[main]\na = b, c\n\n[users]\nci = <P>, r\n\n[roles]\nadmin = *\n", beside=("ci",)),
    Case("climate data store", "root/.cdsapirc", "url: https://cds.shop.io/api\nkey: 12345:<HEX32>\n", "<HEX32>"),
    Case("pulumi stack", "srv/Pulumi.prod.yaml", "config:\n  shop:apiToken:\n    value: <TOKEN>\n", "<TOKEN>"),
    Case("erlang vm.args", "srv/releases/1/vm.args", "-name shop@10.0.0.1\n-setcookie <P>\n"),
    Case("monit", "etc/monit/monitrc", "set httpd port 2812\n  allow ci:<P>\n", beside=("ci",)),
    Case("squid peer", "etc/squid3/squid.conf", "cache_peer up parent 3128 0 login=ci:<P>\n", beside=("ci",)),
    Case("table", "srv/users.csv", "login,e-mail,password\nci,ci@shop.io,<P>\n", beside=("ci",)),
    Case("table quoted", "srv/Benutzer.csv", '"Name";"Login";"Passwort"\r\n"C; I";"ci";"<P>"\r\n', beside=("ci",)),
    Case("haproxy", "etc/haproxy/haproxy.cfg", "frontend x\n  stats auth ci:<P>\n", beside=("ci",)),
    Case("haproxy user", "opt/haproxy.cfg", "userlist x\n  user ci insecure-password <P>\n", beside=("ci",)),
    Case("tinyproxy", "etc/tinyproxy/tinyproxy.conf", "Port 8888\nBasicAuth ci <P>\n", beside=("ci",)),
    Case("tinyproxy upstream", "opt/tinyproxy.conf", "Upstream http ci:<P>@proxy.shop.io:3128\n", beside=("ci",)),
    Case("proxychains", "etc/proxychains4.conf", "[ProxyList]\nsocks5 10.0.0.1 1080 ci <P>\n", beside=("ci",)),
    Case("proftpd", "etc/proftpd/sql.conf", "SQLBackend mysql\nSQLConnectInfo ftp@db ci <P>\n", beside=("ci",)),
    Case("upsmon", "etc/nut/upsmon.conf", "MONITOR ups@localhost 1 ci <P> master\n", beside=("ci",)),
    Case("grub", "etc/grub.d/40_custom", 'set superusers="root"\npassword root <P>\n', beside=("root",)),
    Case("galera", "etc/mysql/mariadb.conf.d/60-galera.cnf", "[galera]\nwsrep_sst_auth = ci:<P>\n", beside=("ci",)),
    Case("radius client", "etc/radiusclient/servers", "# server secret\nradius.shop.io  <P>\n"),
    Case("pam_radius", "etc/pam_radius_auth.conf", "radius.shop.io:1812 <P> 3\n"),
    Case("asterisk", "etc/asterisk/sip.conf", "[general]\nregister => ci:<P>@sip.shop.io/100\n", beside=("ci",)),
    Case("activemq", "opt/activemq/conf/users.properties", "# users\nadmin=<P>\n", beside=("admin",)),
    Case("jetty realm", "etc/realm.properties", "admin: <P>,user,admin\n", beside=("admin",)),
    Case("couchdb", "etc/couchdb/local.ini", "[log]\nlevel = info\n[admins]\nadmin = <P>\n", beside=("admin",)),
    Case("deluge", "root/.config/deluge/auth", "ci:<P>:10\n", beside=("ci",)),
    Case("tacacs", "etc/tacacs+/tac_plus.conf", "key = <P>\n"),
    Case("tacacs user", "opt/tac_plus.cfg", '# a password expires\nuser = ci {\n  login = cleartext "<P>"\n}\n'),
    Case("frr", "etc/frr/frr.conf", "router bgp 65000\n neighbor 10.0.0.1 password <P>\n"),
    Case("rancid", "home/rancid/.cloginrc", "add user * ci\nadd password * {<P>} {<P>}\n"),
    Case("request tracker", "etc/request-tracker5/RT_SiteConfig.pm", "Set($DatabasePassword, q{<P>});\n"),
    Case("otrs", "opt/otrs/Kernel/Config.pm", "    $Self->{DatabasePw} = '<P>';\n"),
    Case("splunk", "opt/splunk/etc/system/local/server.conf", "[general]\npass4SymmKey = <P>\n"),
    Case("snmp clients", "root/.snmp/snmp.conf", "defSecurityName ci\ndefAuthPassphrase <P>\n"),
    Case("snmp map", "srv/snmpd.conf", "com2sec readonly default <P>\n"),
    Case("snmp privacy", "etc/snmp/snmptrapd.conf", "createUser -e 0x80 ci SHA public AES <P>\n"),
    Case("sentinel", "etc/redis/sentinel.conf", "sentinel sentinel-pass <P>\n"),
    Case("time keys", "etc/chrony/chrony.keys", "1 SHA1 HEX:<HEX32>\n", "<HEX32>"),
    Case("opensmtpd", "etc/mail/secrets", "relay1 ci:<P>\n", beside=("ci",)),
    Case("exim relay", "etc/exim4/conf.d/auth/40_relay", "relay:\n  client_send = : ci@shop.io : <P>\n"),
    Case("exim database", "etc/exim4/exim4.conf", "hide mysql_servers = db/mail/ci/<P>\n", beside=("ci",)),
    Case("dovecot users", "etc/dovecot/users", "ci@shop.io:{PLAIN}<P>:5000:5000::/m\n", beside=("ci@shop.io",)),
    Case("pcppass", "root/.pcppass", "db.shop.io:9898:ci:<P>\n", beside=("ci",)),
    Case("stunnel psk", "etc/stunnel/psk.txt", "ci:<P>\n", beside=("ci",)),
    Case("amanda", "etc/amandapass", "//files/share ci%<P> SHOP\n", beside=("ci",)),
    Case("ifupdown", "etc/network/interfaces", "iface wlan0 inet dhcp\n\twpa-psk <P>\n"),
    Case(
        "table of a browser",
        "srv/Passwords.csv",
        "name,url,username,password,note\ns,https://s.io,ci,<P>,\n",
        beside=("ci",),
    ),
)
