"""The nightly run as an Airflow DAG (Airflow 3): submits to a cluster that stays, and fails when the night does.

RAY_AUTH_TOKEN and RAY_AUTH_MODE=token are in the environment of the Airflow worker. The id makes a retry of the task
follow the job that still runs instead of starting another.
"""

import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    "fmnist_nightly",
    schedule="30 1 * * *",
    start_date=datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
    catchup=True,  # nights that were missed are made up for, each with the catalogue of its date
    max_active_runs=1,
):
    BashOperator(
        task_id="nightly",
        bash_command=(
            "fmnist-ray submit --address http://fmnist-ray-head-svc.fmnist-ray:8265 --id nightly-{{ ds }} "
            "nightly 's3://shop/catalogue/{date}' --date {{ ds }} --root s3://shop/nights --json"
        ),
        retries=3,
        retry_delay=datetime.timedelta(minutes=10),
        execution_timeout=datetime.timedelta(hours=5),
    )
